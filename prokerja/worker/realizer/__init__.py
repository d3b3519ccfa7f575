"""The child's side: what runs in the process that runs the user's code."""

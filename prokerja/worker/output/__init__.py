"""What jobs print, from their process to the worker's stderr."""

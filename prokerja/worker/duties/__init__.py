"""What a supervisor does besides running jobs, one duty in each file."""

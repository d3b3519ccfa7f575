"""What stands between a supervisor and a realizer, and is used by both."""

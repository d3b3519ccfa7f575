"""Directories with a queue of their own, real workers, and the program as a user calls it."""

"""The store as one SQLite file: every statement stands in this folder."""

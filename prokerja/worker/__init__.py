"""A worker: one supervisor that owns the database, and realizers that own the user's code."""

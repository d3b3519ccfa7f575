"""Finds job classes: by reading their text for declarations, by importing them for a worker."""

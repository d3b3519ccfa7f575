"""Finds job classes: without running them for whoever declares, by importing for the worker."""

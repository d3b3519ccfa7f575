"""Whether the suite notices when a promise is broken: `make mutants` breaks one after another."""

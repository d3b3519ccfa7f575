"""When something is to run again and again: rules, zones, and what the change of clocks does."""

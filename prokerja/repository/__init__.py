"""The store that declare, realize, report, retry and purge share."""

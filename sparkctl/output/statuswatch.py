"""`status --watch`."""

"""The checks, one file a subject; each file ends with its explicit table."""

"""The file of `support-bundle`."""

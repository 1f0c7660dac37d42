"""Imitated Sparks in network namespaces on this machine."""

"""Checks in explicit tables, findings, the runner."""

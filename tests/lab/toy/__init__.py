"""A toy engine and a toy runtime, and `python -m tests.lab.toy`: sparkctl with both registered."""

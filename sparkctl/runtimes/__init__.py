"""Where an engine runs on a node: a virtual environment; pure."""

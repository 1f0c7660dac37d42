"""The user's YAML: models, loader, starter files."""

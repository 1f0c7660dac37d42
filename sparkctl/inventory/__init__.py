"""The user's inventory: models, loader, env layers, starter files."""

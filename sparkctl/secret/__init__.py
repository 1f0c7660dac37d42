"""Secrets: their names and forms, texts without them, values that show a mask."""

"""The only place that prints: terminal, plain text, JSON."""

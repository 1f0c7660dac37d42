"""What is served, one folder an engine; pure."""

"""up, down, status: readable lists of steps over nodes."""

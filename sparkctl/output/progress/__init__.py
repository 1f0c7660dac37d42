"""What goes on while a command runs, on stderr."""

"""What nodes answer: data from a stranger until it was checked here against a declared shape."""

"""What a secret is: its names and forms, a text without secrets, a value that shows a mask."""

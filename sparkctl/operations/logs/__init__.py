"""`logs`: which logs are meant, and reading several at once."""

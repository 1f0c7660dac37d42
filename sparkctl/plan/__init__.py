"""What should run, and how that differs from what runs; pure."""

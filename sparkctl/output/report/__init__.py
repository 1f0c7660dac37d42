"""The page of `doctor --report`."""

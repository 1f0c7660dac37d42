"""What holds for every test."""

from __future__ import annotations

import signal

# A shell starts its background jobs with SIGINT ignored, and children inherit that: the tests of
# Ctrl-C would then test nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

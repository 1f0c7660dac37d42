"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell starts its background jobs with SIGINT ignored, and children inherit that: the tests of
# Ctrl-C would then test nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

# hypothesis would fail an example that takes over 0.2 s: a figure of the machine, not of the code.
settings.register_profile("sparkctl", deadline=None)
settings.load_profile("sparkctl")

"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell starts background jobs with SIGINT ignored, and their children inherit it: the tests of
# Ctrl-C would test nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

# hypothesis fails an example that takes over 0.2 s, which depends on the machine.
settings.register_profile("sparkctl", deadline=None)
settings.load_profile("sparkctl")

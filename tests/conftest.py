"""What holds for every test."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# A shell starts background jobs with SIGINT ignored, and their children inherit it: the tests of
# Ctrl-C would test nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

# hypothesis fails an example that takes over 0.2 s, which depends on the machine.
settings.register_profile("sparkctl", deadline=None)
settings.load_profile("sparkctl")


@pytest.fixture(autouse=True, scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The logs of the tests' runs stay out of the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield

"""Colours, and the terminals and users that want none."""

from __future__ import annotations

import re
import sys

import pytest

from tests.screen import Terminal

SCREENS = {
    "status": ("tests.unit.statusscreen", "unreachable"),
    "doctor": ("tests.doctorscreen", "doctor-failures"),
    "up": ("tests.progressscreens", "failed"),
}
SGR = re.compile(rb"\x1b\[([\d;]*)m")  # ECMA-48: how characters look
COLOUR = 30  # its first parameter that is a colour; those below are bold, faint and the like


def looks(name: str, **environment: str) -> set[int]:
    """The parameters with which a screen's characters are written."""
    module, scene = SCREENS[name]
    with Terminal([sys.executable, "-m", module, scene], environment=environment) as terminal:
        terminal.ended()
    assert terminal.process.returncode == 0
    found = (code for codes in SGR.findall(terminal.written) for code in codes.split(b";"))
    return {int(code or 0) for code in found}


@pytest.mark.parametrize("name", SCREENS)
def test_no_color_and_a_dumb_terminal_have_none(name: str) -> None:
    assert max(looks(name)) >= COLOUR
    assert max(looks(name, NO_COLOR="1"), default=0) < COLOUR
    assert looks(name, TERM="dumb") == set()

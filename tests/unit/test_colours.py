"""Colours, the users that want none, and terminals that have fewer characters."""

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


FAILS = """
import sys
from sparkctl.output.clean import cleaned
from tests.progressscreens import SCENES, Run
with cleaned():
    SCENES[sys.argv[1]](Run())
"""


def test_a_terminal_without_unicode_gets_marks_and_bars_in_ascii() -> None:
    def lines(scene: str) -> list[str]:
        argv = [sys.executable, "-c", FAILS, scene]
        with Terminal(argv, environment={"PYTHONIOENCODING": "ascii"}) as terminal:
            return terminal.ended()

    failed = lines("failed")
    assert failed[0] == "+ connect to the nodes 0.4 s"
    assert "x wait for vLLM 1 min 15 s failed" in failed
    loading = "\n".join(lines("loading"))
    assert f"{'=' * 6}{'-' * 10}  42%" in loading
    assert "\\u" not in "\n".join(failed) + loading

"""What others wrote reaches a terminal without what the terminal would act upon."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

import sparkctl
from sparkctl.output.clean import Cleaning, cleaned, raw
from sparkctl.output.console import CleanConsole
from sparkctl.text import clean, counted, plain, quoted, unfit
from tests.screen import Terminal

SHOWN = {
    "plain text, tabs\tand\nlines": "plain text, tabs\tand\nlines",
    "größer 温度 ✓ 🙂": "größer 温度 ✓ 🙂",
    "\x1b[2J\x1b]0;title\x07": "\\x1b[2J\\x1b]0;title\\x07",
    "a\rb\x08\x00\x7f": "a\\x0db\\x08\\x00\\x7f",
    "\x9b31m": "\\x9b31m",
    "abc\u202edef\u2066\u200f": "abc\\u202edef\\u2066\\u200f",
    "zero\u200bwidth\ufeff": "zero\\u200bwidth\\ufeff",
    "\u2028\u2029": "\\u2028\\u2029",
    "\ud800\U000e0041\ue000": "\\ud800\\U000e0041\\ue000",
}


@pytest.mark.parametrize("text", SHOWN)
def test_the_unfit_characters_are_escaped(text: str) -> None:
    assert clean(text) == SHOWN[text]


@given(st.text())
def test_nothing_unfit_is_left_and_the_rest_is_kept(text: str) -> None:
    assert not any(map(unfit, clean(text)))
    assert not any(map(unfit, plain(text)))
    if not any(map(unfit, text)):
        assert clean(text) == plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;32mINFO\x1b[0m up\n", "INFO up\n"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        (" 10%\r 20%\r\ndone\n", " 10%\n 20%\ndone\n"),
        ("cut \x1b", "cut \\x1b"),
        ("\x1b(B\x1b7", ""),
    ],
)
def test_a_logs_colours_are_left_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("rocep1s0f0,roceP2p1s0f0", "rocep1s0f0,roceP2p1s0f0"),
        ("=rocep1s0f0:1", "=rocep1s0f0:1"),
        ("rocep1s0f0, roceP2p1s0f0", "`rocep1s0f0, roceP2p1s0f0`"),
        ('"rocep1s0f0"', '`"rocep1s0f0"`'),
        ("a ", "`a `"),
        (" a", "` a`"),
        ("a\t", "`a\\x09`"),
        ("a\r\n", "`a\\x0d\\x0a`"),
        ("a\u00a0b", "`a\\xa0b`"),
        ("a;b", "`a;b`"),
        ("a\u200bb", "a\\u200bb"),
        ("", "(empty)"),
    ],
)
def test_a_value_is_quoted_where_one_would_not_see_it(value: str, shown: str) -> None:
    assert quoted(value) == shown


def test_all_that_is_printed_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    with cleaned(), cleaned():
        print("a\x1b[31m")
        print("b\u202e", file=sys.stderr)
        click.echo("c\x07")
        sys.stdout.writelines(["d\x1b\n"])
        assert not isinstance(raw(sys.stdout), Cleaning)
    print("e\x1b")
    assert capsys.readouterr() == ("a\\x1b[31m\nc\\x07\nd\\x1b\ne\x1b\n", "b\\u202e\n")


def test_a_consoles_control_characters_are_richs_own() -> None:
    out = io.StringIO()
    console = CleanConsole(file=out, force_terminal=True, color_system="standard", highlight=False)
    table = Table("NAME")
    table.add_row(Text("row\x1b]0;x\x1b"))
    console.print(Text("bad\x1b[2J", "red"))
    console.print(table)
    console.print("[green]markup[/] \x1b[5m")
    text = out.getvalue()
    assert "\x1b[31mbad\\x1b[2J\x1b[0m" in text
    assert "\x1b[32mmarkup" in text
    assert "\x1b]" not in text
    assert "\x1b[5m" not in text


def test_every_console_is_made_in_one_place() -> None:
    """Another's ANSI sequences would be escaped, its texts would not."""
    package = Path(sparkctl.__file__).parent
    makers = {p.name for p in package.rglob("*.py") if " Console(" in p.read_text()}
    assert makers == set()


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "rank") for n in (0, 1, 2)] == ["0 ranks", "1 rank", "2 ranks"]
    assert counted(2, "process") == "2 processes"
    assert counted(2, "switch") == "2 switches"


def test_an_error_is_broken_between_words_at_the_width_of_stderr_without_richs_console() -> None:
    words = "would stop up: fabric.mtu spark-2: set it to 9000 with `ip link set dev enp1s0f0np0`"
    child = f"""
import sys
from sparkctl.output.stdio import print_err
print_err({words!r} + chr(27), margin="# ")
print_err("rich.console" in sys.modules and "slow" or "quick")
"""
    argv = [sys.executable, "-c", child]
    with Terminal(argv, columns=40, beyond=100, stdout=subprocess.DEVNULL) as terminal:
        assert terminal.ended() == [
            "# would stop up: fabric.mtu spark-2: set",
            "#   it to 9000 with",
            "#   `ip link set dev enp1s0f0np0`\\x1b",
            "quick",
        ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == f"# {words}\x1b\nquick\n"

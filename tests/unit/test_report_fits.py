"""Prose within a terminal's width: what is shown is whole."""

from __future__ import annotations

import re
import shlex
import subprocess
from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from sparkctl.ages import age, ago
from sparkctl.doctor.finding import Evidence, Finding, Severity
from sparkctl.doctor.remedy import Remedy
from sparkctl.output.console import broken, print_prose
from sparkctl.output.doctor import print_findings
from sparkctl.output.shellcommand import continued
from sparkctl.output.spans import duration, elapsed


def test_prose_is_broken_between_words_and_hangs() -> None:
    line = Text("FAIL    spark-1: the MTU of enp1s0f0np0 differs from its peer's")
    assert [part.plain for part in broken(line, 30, 8)] == [
        "FAIL    spark-1: the MTU of",
        "        enp1s0f0np0 differs",
        "        from its peer's",
    ]


def test_a_path_is_never_broken() -> None:
    path = "/tmp/" + "x" * 50
    lines = [part.plain for part in broken(Text(f"the log is kept in {path}: read it"), 30, 2)]
    assert lines == ["the log is kept in", f"  {path}:", "  read it"]


def test_a_command_in_backticks_is_never_broken() -> None:
    kept = Text("it is kept: `sparkctl doctor --log` reads it")
    lines = [part.plain for part in broken(kept, 30)]
    assert lines == ["it is kept:", "`sparkctl doctor --log` reads", "it"]
    assert len(broken(Text("a ` b " + "word " * 40), 30)) > 5  # one that nothing closes


COMMAND = "sudo ip link set dev enp1s0f0np0 mtu 9000 && echo " + "x" * 60


def test_doctors_prose_fits_and_its_commands_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Finding(
        Severity.FAIL,
        "the MTU of a half differs from its peer's, " * 3,
        (Evidence("9000 on both ends", "1500 here and 9000 there", "ip link on the node " * 4),),
        Remedy("set it on both ends and in the file that keeps it " * 2, (COMMAND,)),
        node="spark-1",
        check="fabric.mtu",
    )
    text = StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None, soft_wrap=True)
    monkeypatch.setattr("sparkctl.output.doctor.wide_console", lambda: console)
    print_findings([found], ["the GPU: " + "one of the lab's " * 8, "RDMA"])
    lines = text.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    begin = next(n for n, line in enumerate(lines) if "sudo ip link" in line)
    pasted = "\n".join(lines[begin : begin + 2])
    assert shlex.split(pasted.replace("\\\n", "")) == shlex.split(COMMAND)
    head = [line for line in lines if line and not line.startswith(" ")]
    assert [line.split()[0] for line in head] == ["FAIL", "imitated:", "1"]


@pytest.mark.parametrize(
    "command",
    [
        COMMAND,
        'sudo sh -c \'echo "a  b" > /etc/x\' && printf %s\\\\n "c  d" it\\\'s a\\ b',
        "echo one two three four five six seven eight nine ten eleven twelve",
    ],
)
def test_a_shell_reads_a_command_on_several_lines_as_the_same(command: str) -> None:
    lines = continued(command, 30)
    assert len(lines) > 1
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert _arguments("\n".join(lines)) == _arguments(command)


@pytest.mark.parametrize(
    "command",
    [
        'echo "$(printf %s "a b c d e f g h")"',
        "echo a b c d e f g h i j k # l m n",
        "cat <<END a b c d e f g h i j k l",
        "echo `echo a b c d e f g h i j k`",
        "echo 'a b c d e f g h i j k l m n",
        "echo  a b c d e f g h i j k l m n",
    ],
)
def test_a_command_that_a_shell_might_read_differently_stays_whole(command: str) -> None:
    assert continued(command, 20) == [command]


def _arguments(command: str) -> str:
    """What a shell makes of a command's arguments, one a line."""
    script = "print() { printf '<%s>\\n' \"$@\"; }; print " + re.sub("[&>]+", "+", command)
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_where_there_is_no_terminal_nothing_is_broken() -> None:
    text = StringIO()
    print_prose(Console(file=text, width=20), "one two three four five six\nseven", 2)
    assert text.getvalue() == "one two three four five six\nseven\n"


@pytest.mark.parametrize(
    ("seconds", "texts"),
    [
        (0.04, ("0 s", "0.0 s", "0 s")),
        (59.9, ("59 s", "59.9 s", "59 s")),
        (725, ("12 min 05 s", "12 min 05 s", "12 min")),
        (3 * 3600 + 61, ("3 h 01 min", "3 h 01 min", "3 h")),
        (5 * 86_400, ("120 h 00 min", "120 h 00 min", "5 d")),
    ],
)
def test_spans(seconds: float, texts: tuple[str, ...]) -> None:
    assert (elapsed(seconds), duration(seconds), age(seconds)) == texts


def test_how_long_ago_a_recorded_moment_was() -> None:
    assert ago("2026-11-22 03:00:00 +0100", 1_795_312_920.0) == "2 min ago"
    assert ago("yesterday", 0.0) == "yesterday"

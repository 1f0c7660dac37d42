"""Tables and prose within a terminal's width: what is shown is whole."""

from __future__ import annotations

import re
import shlex
import subprocess
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from sparkctl.doctor.finding import Evidence, Finding, Severity
from sparkctl.doctor.remedy import Remedy
from sparkctl.errors import AuthError
from sparkctl.operations.servicestatus import ApiAnswer, ServiceStatus
from sparkctl.operations.status import NodeStatus, Running, Status
from sparkctl.output import status as report
from sparkctl.output.console import broken, print_prose
from sparkctl.output.doctor import print_findings
from sparkctl.output.shellcommand import continued
from sparkctl.output.spans import age, duration, elapsed
from sparkctl.output.table import Column, fit, print_table, render

LONG = "spark-" + "x" * 25 + "9"  # the longest name that an inventory may have
SINCE = 1_700_000_000.0


def nodes(*names: str) -> list[NodeStatus]:
    return [
        NodeStatus(
            name,
            "worker",
            f"{name}.example.com",
            fabric_address="10.100.200.123",
            ray="not in Ray's table",
            ranks=1,
            gpu="NVIDIA GB10",
            memory_available=100 * 2**30,
            processes=[Running(1, "ray", SINCE, "r", "raylet")],
        )
        for name in names
    ]


def shown(names: list[str], width: int) -> list[str]:
    columns = report._columns(nodes(*names), SINCE + 3 * 3600)
    return [line.plain for line in render(columns, width)]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("names", [["spark-1", "spark-2"], ["spark-1", LONG]])
def test_no_name_is_cut_and_no_row_is_wider_than_the_terminal(names: list[str], width: int) -> None:
    title, *rows = shown(names, width)
    assert title.startswith("NODE")
    assert [row.split()[0] for row in rows] == names
    assert all(len(line) <= width for line in (title, *rows))
    assert not any("…" in row for row in rows)


def test_what_is_least_important_goes_first() -> None:
    names = ["spark-1", "spark-2"]
    by_width = {w: re.split(r"  +", shown(names, w)[0]) for w in (40, 60, 80, 100, 200)}
    assert by_width[200] == [
        "NODE",
        "ROLE",
        "HOST",
        "FABRIC",
        "RAY",
        "RANKS",
        "GPU",
        "MEMORY FREE",
        "SINCE",
    ]
    assert by_width[100] == [
        "NODE",
        "ROLE",
        "HOST",
        "FABRIC",
        "RAY",
        "RANKS",
        "MEMORY FREE",
        "AGE",
    ]
    assert by_width[80] == ["NODE", "ROLE", "FABRIC", "RAY", "RANKS", "MEMORY FREE", "AGE"]
    assert by_width[60] == ["NODE", "ROLE", "RAY", "RANKS", "MEMORY FREE", "AGE"]
    assert by_width[40] == ["NODE", "ROLE", "RAY"]
    assert "3 h" in shown(names, 80)[1]


def test_columns_align_by_what_the_terminal_needs_for_a_character() -> None:
    columns = [Column("NODE", ["節点", "b"], 1), Column("X", ["1", "2"], 0)]
    lines = [line.plain for line in render(columns, 40)]
    assert lines == ["NODE  X", "節点  1", "b     2"]
    assert [c.title for c in fit(columns, 6)] == ["NODE"]


def test_a_name_wider_than_the_terminal_goes_on_in_the_next_line() -> None:
    lines = [line.plain for line in render([Column("N", ["節点" * 5], 0)], 6)]
    assert all(cell_len(line) <= 6 for line in lines)
    assert "".join(lines[1:]) == "節点" * 5


def test_the_whole_status_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Status("[red]lab[/]", nodes("spark-1", LONG), ["the GPU, by a nvidia-smi of the lab"])
    failed = "SSH authentication failed; tried " + "the key " * 12
    found.nodes[1].error = AuthError(failed, node=LONG)
    error = "the head cannot be asked: " + "for it is busy " * 8
    found.services["vllm"] = ServiceStatus(
        "vllm", "m", "http://h:1/v1", "failed", api=ApiAnswer(error=error)
    )
    for width in (40, 60, 80, 100, 120):
        text = StringIO()
        console = Console(file=text, width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr(report, "wide_console", lambda console=console: console)
        report.print_status(found)
        assert all(cell_len(line) <= width for line in text.getvalue().splitlines()), width
        assert text.getvalue().startswith("cluster [red]lab[/]\n")


def test_where_there_is_no_terminal_the_table_is_whole() -> None:
    text = StringIO()
    columns = [Column("NODE", ["x" * 300], 0), Column("ROLE", ["head"], 1)]
    print_table(Console(file=text, width=80), columns)
    assert text.getvalue() == f"NODE{' ' * 298}ROLE\n{'x' * 300}  head\n"


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

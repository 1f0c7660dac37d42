"""Logs as they are printed: several on one screen, each line after its log's name."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from sparkctl.output.logstream import LONGEST, Lines
from tests.golden import WIDTHS, same_screen
from tests.screen import Terminal

LONG = (
    "(APIServer pid=4711) INFO 07-01 09:30:02 [loggers.py:259] Engine 000: Avg prompt throughput: "
    "11.2 tokens/s, Avg generation throughput: 38.4 tokens/s, Running: 1 reqs, Waiting: 0 reqs"
)
# The pieces of three logs, as they came from two nodes, through the real printer.
CHILD = f"""
from types import SimpleNamespace
from sparkctl.operations.logs.read import Piece
from sparkctl.operations.logs.selection import Log
from sparkctl.output.clean import cleaned
from sparkctl.output.logstream import LogPrinter
def log(node, kind):
    return Log(SimpleNamespace(name=node), f"vllm/0/{{kind}}/{{node}}")
ray, engine, other = logs = log("spark-1", "ray"), log("spark-1", "vllm"), log("spark-2", "ray")
with cleaned():
    LogPrinter(logs).show([
        Piece(ray, "== sparkctl 2026-07-01 09:29:40: ray start\\n[2026-07-01 09:29:44] Ray "),
        Piece(other, "== sparkctl 2026-07-01 09:29:51: ray start --head\\n"),
        Piece(ray, "runtime started.\\n"),
        Piece(engine, "Loading safetensors: 0%\\rLoading safetensors: 50%\\rLoading "),
        Piece(None, note="connection to spark-2 lost; reconnecting"),
        Piece(engine, "safetensors: 100%\\r"),
        Piece(engine, "\\n\\x1b[1;36m(APIServer)\\x1b[0m \\x1b]0;title\\x07ready\\n"),
        Piece(engine, {LONG!r} + "\\n"),
        Piece(None, note="connection to spark-2 restored after 4 s"),
        Piece(other, "[2026-07-01 09:30:03] Ray runtime started."),
        Piece(other, ended=True),
    ])
"""
ARGV = [sys.executable, "-c", CHILD]


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_logs_of_two_nodes(columns: int) -> None:
    names = ("spark-1 ray  │ ", "spark-1 vllm │ ", "spark-2 ray  │ ")
    same_screen("logs", ARGV, columns, whole=names, wraps=True)


def test_only_a_terminal_gets_colours_and_lines() -> None:
    with Terminal(ARGV) as terminal:
        terminal.ended()
        assert b"\x1b[36mspark-1 ray " in terminal.written
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with Terminal(ARGV, environment={name: value}) as terminal:
            terminal.ended()
            assert b"\x1b" not in terminal.written
    with Terminal(ARGV, environment={"PYTHONIOENCODING": "latin-1"}) as terminal:
        assert any(line.startswith("spark-1 vllm | ") for line in terminal.ended())
    done = subprocess.run(ARGV, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout
    assert {line[:15] for line in done.stdout.splitlines()} == {
        "spark-1 ray  | ",
        "spark-1 vllm | ",
        "spark-2 ray  | ",
    }
    assert f"spark-1 vllm | {LONG}\n" in done.stdout
    assert done.stderr.splitlines()[0] == "connection to spark-2 lost; reconnecting"


def test_lines_are_the_same_however_they_come() -> None:
    whole = "one\n\ntwo\r\nthree\rfour\r\r\nµ end"
    expected = Lines("> ").fed(whole, ended=True)
    assert expected == "> one\n> \n> two\n> three\n> four\n> \n> µ end\n"
    random = Random(0)
    for _ in range(200):
        cuts = sorted(random.choices(range(len(whole)), k=4))
        lines = Lines("> ")
        parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        assert "".join(map(lines.fed, parts)) + lines.fed("", ended=True) == expected


def test_a_line_without_an_end_is_bounded() -> None:
    lines = Lines("> ")
    got = "".join(lines.fed("x" * 65536) for _ in range(40))
    assert len(lines.fed("", ended=True)) <= LONGEST + 3
    assert set(got.split("\n")) == {"> " + "x" * (LONGEST + 65536), ""}

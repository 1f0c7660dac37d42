"""The progress of a run as it is seen on a terminal, and as plain lines."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.output.reporter import PlainReporter
from tests.screen import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

# A run in a child: each line on its stdin is one statement of it.
CHILD = """
import sys
from sparkctl.output.reporter import reporting
from sparkctl.errors import SparkctlError
with reporting() as r:
    for line in sys.stdin:
        exec(line)
"""


class Child:
    """A run on a terminal, told what to do next."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def do(self, statement: str) -> None:
        assert self.terminal.process.stdin
        self.terminal.process.stdin.write(statement.encode() + b"\n")
        self.terminal.process.stdin.flush()

    def ended(self) -> list[str]:
        assert self.terminal.process.stdin
        self.terminal.process.stdin.close()
        return self.terminal.ended()


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[Child]:
    columns = getattr(request, "param", 80)
    argv = [sys.executable, "-c", CHILD]
    with Terminal(argv, columns=columns, stdin=subprocess.PIPE) as terminal:
        yield Child(terminal)


def clock(lines: list[str]) -> str | None:
    found = re.search(r"(\d+ s)$", lines[-1])
    return found[1] if found else None


def test_the_clock_goes_on_when_the_stage_is_complete(child: Child) -> None:
    child.do("r.step('start vLLM')")
    child.do("r.stage('loading', 100)")
    lines = child.terminal.until(lambda lines: "start vLLM: loading" in lines[-1])
    first = clock(lines)
    assert first
    lines = child.terminal.until(lambda lines: clock(lines) not in (None, first))
    assert "start vLLM: loading" in lines[-1]


def test_the_spinner_goes_on_when_the_stage_is_complete(child: Child) -> None:
    child.do("r.step('start vLLM')")
    child.do("r.stage('loading', 100)")
    spinner = child.terminal.until(lambda lines: "loading" in lines[-1])[-1][0]
    child.terminal.until(lambda lines: lines[-1][:1] not in ("", spinner))


def test_every_step_that_is_done_gets_a_line_with_its_time_the_last_too(child: Child) -> None:
    for title in ("connect", "start [red]Ray[/] :smile:"):
        child.do(f"r.step({title!r})")
    lines = child.ended()
    assert [re.sub(r"\d+\.\d", "1.2", line) for line in lines] == [
        "✓ connect 1.2 s",
        "✓ start [red]Ray[/] :smile: 1.2 s",
    ]


@pytest.mark.parametrize(
    ("raised", "outcome"), [("SparkctlError('x')", "failed"), ("KeyboardInterrupt", "interrupted")]
)
def test_a_step_that_fails_is_marked_so(child: Child, raised: str, outcome: str) -> None:
    child.do("r.step('connect')")
    child.do("r.step('start vLLM')")
    child.do(f"raise {raised}")
    lines = child.terminal.ended()
    assert lines[0].startswith("✓ connect")
    assert re.fullmatch(rf"✗ start vLLM \d+\.\d s {outcome}", lines[1])
    assert "✓" not in "".join(lines[1:])


def test_between_two_steps_the_terminal_is_free_for_a_question(child: Child) -> None:
    child.do("r.step('connect')")
    child.do("r.end()")
    child.do("import threading")
    child.do("[t.join(10) for t in threading.enumerate() if t is not threading.main_thread()]")
    child.do("print('restart?', threading.active_count(), file=sys.stderr, flush=True)")
    lines = child.terminal.until(lambda lines: lines[-1][-1:].isdigit())  # print writes in pieces
    assert lines[0].startswith("✓ connect")
    assert lines[1:] == ["restart? 1"]  # the thread that draws is gone


@pytest.mark.parametrize("child", [40, 80], indirect=True)
def test_a_long_title_takes_one_line_while_it_runs(child: Child) -> None:
    child.do(f"r.step('stop Ray on {'spark-' * 20}')")
    (line,) = child.terminal.until(clock)
    assert "…" in line
    assert "spark-" * 20 in "".join(child.ended()).replace(" ", "")


def test_a_long_title_leaves_room_for_the_figures(child: Child) -> None:
    """Those of `image sync`, on 80 columns."""
    child.do(
        f"r.step('copy registry.example/{'team/' * 9}vllm:v1 from spark-1 to spark-2 (18 GB)')"
    )
    child.do("r.stage('0.9 GB/s, 17 s left, 3.2 of 18.4 GB', 17)")
    (line,) = child.terminal.until(lambda lines: "GB/s" in lines[-1] and clock(lines) is not None)
    assert re.search(r"copy reg.*…: 0\.9 GB/s, 17 s left, 3\.2 of 18\.4 GB .* 17% \d+ s$", line)


def test_plain_lines_tell_the_end_of_the_last_step_and_what_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = PlainReporter()
    reporter.step("connect")
    reporter.step("start vLLM")
    reporter.end("failed")
    reporter.end()
    reporter.step("undo: stop Ray")
    reporter.end()
    lines = re.sub(r"\d+\.\d", "1.2", capsys.readouterr().err).splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        "connect",
        "start vLLM",
        "failed: start vLLM (1.2 s)",
        "undo: stop Ray",
        "done: undo: stop Ray (1.2 s)",
    ]

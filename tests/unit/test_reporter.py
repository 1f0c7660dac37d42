"""The progress of a run as it is seen on a terminal, and as plain lines."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.events import Doing
from sparkctl.output.progress.reporter import PlainReporter
from tests.screen import BOUND, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

# A run in a child: each line on its stdin is one statement of it.
CHILD = """
import sys
from sparkctl.events import Doing
from sparkctl.output.progress.reporter import reporting
from sparkctl.errors import SparkctlError
with reporting() as r:
    for line in sys.stdin:
        exec(line)
"""

# A run as a command of sparkctl, which ends as its argument says.
ENDING = """
import os, signal, sys
from sparkctl.cli import main
from sparkctl.output.progress.reporter import reporting
end = sys.argv[1]
sys.argv = ["sparkctl"]
def command(args, **_):
    with reporting() as r:
        r.step("start vLLM")
        sys.stdin.read()
        if end == "exception":
            raise RuntimeError("a bug")
        os.kill(os.getpid(), getattr(signal, end))
        signal.pause()
main.cli.main = command
sys.exit(main.run([]))
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
    child.do("r.stage(Doing('loading', 100))")
    lines = child.terminal.until(lambda lines: "start vLLM: loading" in lines[-1])
    first = clock(lines)
    assert first
    lines = child.terminal.until(lambda lines: clock(lines) not in (None, first))
    assert "start vLLM: loading" in lines[-1]


def test_the_spinner_goes_on_when_the_stage_is_complete(child: Child) -> None:
    child.do("r.step('start vLLM')")
    child.do("r.stage(Doing('loading', 100))")
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
def test_a_long_title_is_broken_and_never_cut(child: Child) -> None:
    child.do(f"r.step('stop Ray on {'spark-' * 20}')")
    for lines in (child.terminal.until(clock), child.ended()):
        assert "spark-" * 20 in "".join(lines).replace(" ", "")


LONG = "start Ray on spark-1, spark-2, spark-3, spark-4 and spark-5 at once"


@pytest.mark.parametrize("reflow", [True, False])
@pytest.mark.parametrize("columns", [40, 100])
def test_a_resize_in_mid_bar_leaves_nothing_behind(
    child: Child, columns: int, *, reflow: bool
) -> None:
    child.do("r.step('connect to the nodes')")
    child.do(f"r.step({LONG!r})")
    child.do("r.stage(Doing('loading the model', 40, usual='first boot 10 to 40 min'))")
    child.do("r.part('spark-1', Doing('connecting'))")

    def drawn(lines: list[str]) -> bool:
        return "spark-1  connecting" in lines[-1] and "loading the model" in " ".join(lines)

    child.terminal.until(drawn)
    for width in (columns, 80):
        child.terminal.resize(width, reflow=reflow)
        child.do("r.part('spark-1', Doing('connecting again'))")
        lines = child.terminal.until(lambda lines: "connecting again" in lines[-1])
        assert re.fullmatch(r"✓ connect to the nodes \d\.\d s", lines[0])
        text = " ".join(" ".join(lines[1:]).split())
        assert re.fullmatch(
            rf"\S {LONG}:? (\d s )?loading the model ━+─+ 40%( \d s)? first boot 10 to 40 min"
            r" spark-1 connecting again \d s",
            text,
        )
        child.do("r.part('spark-1', Doing('connecting'))")
        child.terminal.until(drawn)
    lines = child.ended()
    assert lines[0].startswith("✓ connect to the nodes")
    assert " ".join(lines[1:]).startswith(f"✓ {LONG}")
    assert len(lines) == 2


@pytest.mark.parametrize("busy", ["time.sleep(60)", "while True: pass", "threading.Lock()"])
def test_the_clock_goes_on_whatever_the_main_thread_does(child: Child, busy: str) -> None:
    child.do("import threading, time")
    child.do("lock = threading.Lock(); lock.acquire()")
    child.do("r.step('start vLLM')")
    child.do("lock.acquire()" if "Lock" in busy else busy)
    first = clock(child.terminal.until(clock))
    child.terminal.until(lambda lines: clock(lines) not in (None, first))


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "exception"])
def test_whatever_ends_the_run_the_rows_go_and_the_cursor_comes_back(end: str) -> None:
    """As sparkctl runs: Ctrl-C, a signal, a bug."""
    with Terminal([sys.executable, "-c", ENDING, end], stdin=subprocess.PIPE) as terminal:
        terminal.until(clock)
        assert terminal.cursor_hidden
        assert terminal.process.stdin
        terminal.process.stdin.close()
        lines = terminal.ended()
        assert not terminal.cursor_hidden
    assert re.fullmatch(r"✗ start vLLM \d\.\d s (failed|interrupted)", lines[0])
    assert clock(lines) is None


def test_a_closed_terminal_ends_the_run_as_ctrl_c_does() -> None:
    with Terminal([sys.executable, "-c", ENDING, "SIGUSR1"], stdin=subprocess.PIPE) as terminal:
        terminal.until(clock)
        terminal.close()
        terminal.process.send_signal(signal.SIGHUP)  # as from the kernel, were it its terminal
        assert terminal.process.wait(BOUND) == 130


def plain(text: str) -> list[str]:
    """Plain lines without what is before them, each time as 1.2."""
    return [line.partition("] ")[2] for line in re.sub(r"\d+\.\d s\b", "1.2 s", text).splitlines()]


def test_plain_lines_have_the_end_of_each_step_and_what_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = PlainReporter()
    reporter.step("connect")
    reporter.step("start vLLM")
    reporter.end("failed")
    reporter.end()
    reporter.step("undo: stop Ray")
    reporter.end()
    assert plain(capsys.readouterr().err) == [
        "connect",
        "done: connect (1.2 s)",
        "start vLLM",
        "failed: start vLLM (1.2 s)",
        "undo: stop Ray",
        "done: undo: stop Ray (1.2 s)",
    ]


def test_plain_lines_say_once_what_is_usual_and_a_part_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = PlainReporter()
    reporter.step("start")
    reporter.stage(Doing("loading", usual="some 5 min"))
    for percent in (1, 1, 2):
        reporter.stage(Doing("loading", percent, usual="some 5 min"))
    for percent in (41, 42, 50):
        reporter.part("spark-2", Doing("copying", percent, detail=f"{percent} of 100 MB"))
    for line in ("Collecting a", "Collecting b"):
        reporter.part("spark-3", Doing("downloading", detail=line))
    reporter.ended("spark-2", "copied 100 MB")
    reporter.ended("spark-3", "no room", "failed")
    assert plain(capsys.readouterr().err)[1:] == [
        "  loading (some 5 min)",
        "  loading 1%",
        "  loading 2%",
        "  spark-2: copying 40% (41 of 100 MB)",
        "  spark-2: copying 50% (50 of 100 MB)",
        "  spark-3: downloading",
        "  done: spark-2: copied 100 MB (1.2 s)",
        "  failed: spark-3: no room (1.2 s)",
    ]

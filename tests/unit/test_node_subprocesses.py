"""Programs that a node starts: their output is bounded, and nothing of them stays."""

from __future__ import annotations

import subprocess

import pytest

from sparkctl.node import subprocesses
from sparkctl.node.subprocesses import Started, start


def is_over(program: Started) -> bool:
    """Whether it was killed, and its pipes are closed."""
    process = program.process
    assert isinstance(process, subprocess.Popen)
    pipes = (process.stdin, process.stdout, process.stderr)
    return process.wait(10) < 0 and all(pipe is None or pipe.closed for pipe in pipes)


def test_a_program_gets_its_stdin_and_all_that_it_prints_is_kept() -> None:
    text = "é\n" * 300_000
    ended = start(["sh", "-c", "cat; echo oops >&2; exit 3"], stdin=text).wait(20)
    assert (ended.status, ended.out, ended.err) == (3, text, "oops\n")
    unread = start(["sh", "-c", "exec <&-; printf 'a\\r\\nb\\377'"], stdin=text)
    assert unread.finish(20) == "a\nb\ufffd"


@pytest.mark.parametrize("line", ["yes", "yes >&2", "yes & sleep 1000"])
def test_a_program_that_floods_is_killed_and_has_failed(line: str) -> None:
    program = start(["sh", "-c", line])
    with pytest.raises(ChildProcessError, match="sh printed more than 100000 bytes"):
        program.wait(20, 100_000)
    assert is_over(program)


def test_a_program_that_is_ended_unread_leaves_nothing() -> None:
    program = start(["sh", "-c", "echo x; sleep 1000"], stdin="x")
    program.end()
    program.end()
    assert is_over(program)


def test_a_failure_has_an_excerpt_of_the_programs_words() -> None:
    with pytest.raises(subprocesses.ExitError) as raised:
        start(["sh", "-c", "yes | head -c 200000 | tr -d '\\n' >&2; exit 1"]).finish(20)
    assert len(str(raised.value)) < 600

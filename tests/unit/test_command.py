"""Commands as the exact strings that a node's shell gets."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.errors import CommandError
from sparkctl.remote.command import STARTED, Command, Result

# What timeout(1) runs: a line that says that the command is bounded now, then the command.
BEGIN = """sh -c 'printf "\\036sparkctl\\036\\n"; exec "$@"' sh"""


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("true",), "true"),
        (("ls", "/a b"), "ls '/a b'"),
        (("echo", ""), "echo ''"),
        (("echo", "it's"), """echo 'it'"'"'s'"""),
        (("echo", "$HOME", "`id`", "$(id)"), "echo '$HOME' '`id`' '$(id)'"),
        (("rm", "--", "-rf; *"), "rm -- '-rf; *'"),
        (("echo", "two\nlines"), "echo 'two\nlines'"),
        (("echo", "~", "a=b", "é"), "echo '~' a=b 'é'"),
        (("echo", "\\", '"', "!"), "echo '\\' '\"' '!'"),
    ],
)
def test_the_exact_string(argv: tuple[str, ...], text: str) -> None:
    assert Command(argv, timeout=5).shell() == f"timeout --kill-after=5 5 {BEGIN} {text}"


@pytest.mark.parametrize(("seconds", "text"), [(60.0, "60"), (0.5, "0.5"), (86_400.0, "86400")])
def test_the_bound_is_in_the_string(seconds: float, text: str) -> None:
    assert Command(("x",), timeout=seconds).shell() == f"timeout --kill-after=5 {text} {BEGIN} x"


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
def test_whatever_the_arguments_a_shell_splits_them_the_same(arguments: list[str]) -> None:
    assert shlex.split(Command(("x", *arguments)).shell())[8:] == arguments


def test_a_real_shell_takes_them_as_they_are() -> None:
    awkward = ["a b", "$HOME", "`id`", "'", '"', "; rm", "*", "", "\\", "new\nline", "ü", "-n", "~"]
    text = Command(("printf", "%s\\0", *awkward)).shell()
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True)
    greeting, _, printed = done.stdout.partition(STARTED)
    assert greeting == b""
    assert printed.decode().split("\0")[:-1] == awkward


def test_stdin_is_not_shown() -> None:
    assert "token" not in repr(Command(("x",), stdin=b"token"))


def test_check_gives_the_result_or_the_last_lines_of_stderr() -> None:
    good = Result("n", Command(("x",)), 0, b"", b"noise", 0.1)
    assert good.check() is good
    stderr = b"\n".join(b"line %d" % n for n in range(9))
    bad = Result("n", Command(("x", "y"), title="reading"), 3, b"", stderr, 0.1)
    with pytest.raises(CommandError) as caught:
        bad.check()
    assert (caught.value.node, caught.value.code) == ("n", "exit-status")
    last = ["line 4", "line 5", "line 6", "line 7", "line 8"]
    assert caught.value.data == {"status": 3, "stderr": last}
    assert caught.value.message.endswith("line 7 | line 8")

"""Nodes that print without end, and login shells that hang, over a real sshd."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sparkctl.errors import CommandError, ConnectError
from sparkctl.remote.command import LIMIT, Command
from sparkctl.remote.connection import Connection, connect
from tests.lab.conftest import Sshd

pytestmark = pytest.mark.lab
HOST = "127.0.0.1"
Login = Callable[[str], Sshd]
# Peak memory is a process's own: measured in one that does nothing else.
MEASURED = """
import resource, sys
from sparkctl.errors import CommandError
from sparkctl.inventory.models import Ssh
from sparkctl.remote.command import Command
from sparkctl.remote.connection import connect
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
with connect("n", "127.0.0.1", Ssh.model_validate_json(sys.argv[1])) as node:
    node.run(Command(("true",)))
    before = peak()
    try:
        node.run(Command(("python3", "-c", sys.argv[2]), timeout=60, title="asking"))
    except CommandError as error:
        print(error, file=sys.stderr)
print(peak() - before)
"""


@pytest.fixture
def login(make_sshd: Callable[..., Sshd], tmp_path: Path) -> Login:
    """An sshd whose login shell, bash, has a ~/.bashrc of these lines."""
    assert pwd.getpwuid(os.getuid()).pw_shell.endswith("bash"), "~/.bashrc is bash's"

    def make(lines: str) -> Sshd:
        return make_sshd("sshd", more=startup(tmp_path, lines))

    return make


def startup(home: Path, lines: str) -> str:
    """sshd's settings for a ~/.bashrc of these lines.

    It is also BASH_ENV, for a bash that was not built to read ~/.bashrc for sshd's commands.
    """
    (home / ".bashrc").write_text(f"unset BASH_ENV\n{lines}")
    return f"SetEnv HOME={home} BASH_ENV={home}/.bashrc\n"


def peak(sshd: Sshd, program: str) -> tuple[int, str]:
    """The memory used to read a program's output, in bytes, and the error message."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, sshd.ssh().model_dump_json(), program],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout), done.stderr


def children(text: str) -> list[int]:
    """The pids of the processes with this command line."""
    found = subprocess.run(["pgrep", "-fx", text], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_hundred_megabytes_cost_a_small_multiple_of_the_bound(sshd: Sshd, stream: str) -> None:
    program = f"import sys\nfor _ in range(100): sys.{stream}.write('x' * 1_000_000)"
    used, message = peak(sshd, program)
    assert used < 4 * LIMIT
    where = " on stderr" if stream == "stderr" else ""
    assert message == f"n: asking printed more than 8 MiB{where}\n"


def test_a_command_that_prints_without_end_is_ended_and_an_error_of_its_node(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        command = Command(("yes", f"line-{os.getpid()}"), timeout=60, title="asking")
        with pytest.raises(CommandError, match=r"^n: asking printed more than 8 MiB$"):
            node.run(command)
        deadline = time.monotonic() + 10
        while children(f"yes line-{os.getpid()}"):
            assert time.monotonic() < deadline, "it still runs"
            time.sleep(0.05)
        assert node.run(Command(("echo", "there"))).stdout == b"there\n"


def test_a_login_shell_that_prints_without_end_is_named(login: Login) -> None:
    with (
        connect("n", HOST, login("yes no-end\n").ssh()) as node,
        pytest.raises(CommandError, match="the login shell printed more than 1 MiB") as caught,
    ):
        node.run(Command(("true",), timeout=60))
    assert "~/.bashrc" in (caught.value.hint or "")


def test_what_a_login_shell_prints_first_is_no_part_of_the_output(login: Login) -> None:
    greeting = "echo '{}'; echo \"$BASH_EXECUTION_STRING\"; printf no-end-of-line\n"
    with connect("n", HOST, login(greeting).ssh()) as node:
        assert node.run(Command(("echo", "a"))).stdout == b"a\n"
        with node.stream(Command(("printf", "a\\nb"))) as lines:
            assert [line for line in lines if line is not None] == ["a", "b"]


def test_what_a_shell_prints_instead_of_a_command_is_kept(login: Login) -> None:
    with connect("n", HOST, login("echo this account is closed; exit 1\n").ssh()) as node:
        result = node.run(Command(("true",)))
    assert (result.status, result.stdout) == (1, b"this account is closed\n")


def test_an_endless_line_is_an_error_of_its_node(sshd: Sshd) -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    command = Command(("python3", "-c", endless), timeout=60, title="following")
    with (
        connect("n", HOST, sshd.ssh()) as node,
        node.stream(command) as lines,
        pytest.raises(CommandError, match="following printed more than 1 MiB"),
    ):
        list(lines)


ENDLESS = f"import sys\nwhile True: sys.stderr.write('x' * 65536)  # {os.getpid()}"


def run_it(node: Connection, program: str) -> None:
    node.run(Command(("python3", "-c", program), timeout=600, title="asking"))


def follow_it(node: Connection, program: str) -> None:
    with node.stream(Command(("python3", "-c", program), timeout=600, title="asking")) as lines:
        list(lines)


@pytest.mark.parametrize("before", ["", "import os; os.close(1)\n"], ids=["", "stdout closed"])
@pytest.mark.parametrize("ask", [run_it, follow_it], ids=["a command", "a stream"])
def test_an_endless_stderr_is_ended_before_the_commands_bound(
    sshd: Sshd, ask: Callable[[Connection, str], None], before: str
) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        start = time.monotonic()
        with pytest.raises(CommandError, match=r"^n: asking printed more than 8 MiB on stderr$"):
            ask(node, before + ENDLESS)
        assert time.monotonic() - start < 60


def test_a_login_shell_with_an_endless_stderr_is_named(login: Login) -> None:
    with (
        connect("n", HOST, login("yes no-end >&2\n").ssh(connect_timeout=60)) as node,
        pytest.raises(CommandError, match="login shell printed more than 8 MiB on stderr"),
    ):
        node.run(Command(("true",), timeout=60))


def follow_all(node: Connection) -> None:
    with node.stream(Command(("cat",), timeout=60)) as lines:
        list(lines)


@pytest.mark.parametrize(
    "ask",
    [lambda node: node.run(Command(("true",), timeout=60)), follow_all],
    ids=["a command", "a stream"],
)
def test_a_login_shell_that_hangs_is_named_within_the_connects_bound(
    login: Login, ask: Callable[[Connection], object]
) -> None:
    seconds = f"{3000 + os.getpid() / 1e6:.6f}"
    message = r"n: the login shell of root did not start a command within 5 s"
    with connect("n", HOST, login(f"sleep {seconds}\n").ssh(connect_timeout=1.0)) as node:
        start = time.monotonic()
        with pytest.raises(ConnectError, match=message):
            ask(node)
        assert time.monotonic() - start < 25
    for pid in children(f"sleep {seconds}"):  # root's, before OpenSSH 9.8: it delivers no signal
        os.kill(pid, signal.SIGKILL)


def test_once_a_command_has_started_a_later_one_may_start_slowly(
    login: Login, tmp_path: Path
) -> None:
    lines = f"while [ -e {tmp_path}/busy ]; do sleep 0.1; done\n"
    with connect("n", HOST, login(lines).ssh(connect_timeout=1.0)) as node:
        node.run(Command(("true",)))
        (tmp_path / "busy").touch()
        threading.Timer(3.0, (tmp_path / "busy").unlink).start()
        assert node.run(Command(("echo", "a"), timeout=60)).stdout == b"a\n"


@pytest.fixture
def other_user() -> Iterator[str]:
    """An account other than root that can log in by key; made when there is none."""
    able = [e.pw_name for e in pwd.getpwall() if e.pw_uid and e.pw_shell.endswith("/bash")]
    name = able[0] if able else f"sparkctl-test-{os.getpid()}"
    if not able:
        subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/bash", name], check=True)
    yield name
    if not able:
        subprocess.run(["userdel", name], check=True)


@pytest.mark.parametrize("lines", ["sleep {}\n", ""], ids=["its login shell", "a command"])
def test_what_passes_its_bound_leaves_no_process_of_a_user_who_is_not_root(
    make_sshd: Callable[..., Sshd], other_user: str, lines: str
) -> None:
    """For root, OpenSSH before 9.8 delivers no signal."""
    seconds = f"{4000 + os.getpid() / 1e6:.6f}"
    with tempfile.TemporaryDirectory() as home:  # pytest's folders are for root alone
        Path(home).chmod(0o755)
        # Without PAM sshd refuses an account without a password.
        own = f"UsePAM yes\nAuthorizedKeysFile {home}/authorized\n"
        sshd = make_sshd("sshd", more=startup(Path(home), lines.format(seconds)) + own)
        Path(home, "authorized").write_text((sshd.folder / "authorized").read_text())
        with connect("n", HOST, sshd.ssh(user=other_user, connect_timeout=2.0)) as node:
            with pytest.raises((ConnectError, CommandError)):
                node.run(Command(("sh", "-c", f"sleep {seconds} & yes"), timeout=60))
            deadline = time.monotonic() + 10
            while children(f"sleep {seconds}"):
                assert time.monotonic() < deadline, "it still runs"
                time.sleep(0.05)

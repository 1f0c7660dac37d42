"""Commands over a real sshd: streams, bounds, lost connections."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.errors import CommandError, ConnectError, RemoteTimeout, SparkctlError
from sparkctl.inventory.models import Inventory
from sparkctl.remote.command import Command
from sparkctl.remote.connection import Connection, connect
from sparkctl.remote.pool import Pool
from sparkctl.remote.ssh_io import ENDS
from tests.lab.conftest import Sshd, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

pytestmark = pytest.mark.lab
HOST = "127.0.0.1"
MAIN = threading.get_ident()
MEGABYTES = 6  # more than an SSH window, less than what ends a command
BOTH = (
    f"import sys; sys.stderr.write('e'*{MEGABYTES}000000); sys.stdout.write('o'*{MEGABYTES}000000)"
)


def next_line(lines: Iterator[str | None]) -> str:
    """The next line, without a time limit."""
    return next(line for line in lines if line is not None)


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.02)


def test_status_and_both_streams_come_back(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("sh", "-c", "echo out; echo err >&2; exit 7")))
        assert (result.status, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


def test_awkward_arguments_arrive_as_they_are(sshd: Sshd) -> None:
    awkward = ("a b", "$HOME", "`id`", "'", '"', "; rm", "*", "", "\\", "new\nline", "ü")
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("printf", "%s\\0", *awkward)))
    assert result.stdout.decode().split("\0")[:-1] == list(awkward)


def test_both_streams_full_do_not_deadlock(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("python3", "-c", BOTH), timeout=60, limit=MEGABYTES * 10**6))
    assert len(result.stdout) == MEGABYTES * 10**6
    left_out = MEGABYTES * 10**6 - 2 * ENDS
    ends = b"e" * ENDS
    assert result.stderr == ends + b"\n[%d bytes left out]\n" % left_out + ends


def test_a_large_stdin_comes_back_through_cat(sshd: Sshd) -> None:
    data = os.urandom(5_000_000)
    with connect("n", HOST, sshd.ssh()) as node:
        assert node.run(Command(("cat",), stdin=data)).stdout == data


def test_a_bound_ends_the_process_on_the_node(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        marker = f"{3000 + os.getpid() / 1e6:.6f}"
        with pytest.raises(RemoteTimeout, match=r"waiting was ended after 0\.5 s"):
            node.run(Command(("sleep", marker), timeout=0.5, title="waiting"))
        found = subprocess.run(["pgrep", "-f", f"^sleep {marker}"], check=False)
        assert found.returncode == 1


def test_many_channels_at_once(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node, ThreadPoolExecutor(16) as pool:
        results = pool.map(lambda n: node.run(Command(("echo", str(n)))).stdout, range(32))
        assert [int(r) for r in results] == list(range(32))


def test_a_stream_gives_lines_as_they_come_and_ends_with_its_stdin(sshd: Sshd) -> None:
    command = Command(("sh", "-c", "echo $$; cat; echo never-read"), stdin=b"hello\n", timeout=99)
    with connect("n", HOST, sshd.ssh()) as node:
        with node.stream(command, timeout=0.2) as lines:
            pid = int(next_line(lines))
            assert next_line(lines) == "hello"
            assert next(lines) is None
        wait_gone(pid)


def test_read_only_refuses_what_mutates(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh(), read_only=True) as node:
        assert node.run(Command(("true",), mutates=False)).status == 0
        with pytest.raises(SparkctlError, match="refused"):
            node.run(Command(("true",)))


def test_a_lost_connection_is_reported(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        session = int(node.run(Command(("sh", "-c", "ps -o ppid= -p $(ps -o ppid= -p $$)"))).stdout)
        with pytest.raises(ConnectError, match="connection lost while cutting"):
            node.run(Command(("kill", "-9", str(session)), title="cutting"))


def test_a_stream_that_is_cut_is_reported(sshd: Sshd) -> None:
    script = "echo $(ps -o ppid= -p $(ps -o ppid= -p $$)); cat"
    with connect("n", HOST, sshd.ssh()) as node:
        command = Command(("sh", "-c", script), title="following")
        with node.stream(command, timeout=0.2) as lines:
            os.kill(int(next_line(lines)), signal.SIGKILL)
            with pytest.raises(ConnectError, match="connection lost while following"):
                list(lines)


def test_a_command_that_a_signal_ends_is_not_a_lost_connection(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        with pytest.raises(CommandError, match="probing was ended by a signal"):
            node.run(Command(("sh", "-c", "kill -9 $$"), title="probing"))
        assert node.run(Command(("true",))).status == 0


def test_a_stream_that_fails_says_why_after_its_lines(sshd: Sshd) -> None:
    script = "import sys; sys.stderr.write('e' * 3_000_000 + '\\nbroken\\n'); print('a'); exit(3)"
    with connect("n", HOST, sshd.ssh()) as node:
        command = Command(("python3", "-c", script), title="following")
        with node.stream(command) as lines:
            assert next_line(lines) == "a"
            with pytest.raises(CommandError, match=r"following ended with status 3: .*broken"):
                list(lines)


def test_an_error_of_the_caller_passes_through_a_stream(sshd: Sshd) -> None:
    def read(node: Connection) -> None:
        with node.stream(Command(("cat",))):
            raise BrokenPipeError("the terminal is gone")

    with connect("n", HOST, sshd.ssh()) as node, pytest.raises(BrokenPipeError, match="terminal"):
        read(node)


def test_streams_and_commands_share_a_connection(sshd: Sshd) -> None:
    with (
        connect("n", HOST, sshd.ssh()) as node,
        node.stream(Command(("cat",), stdin=b"a\n")) as first,
        node.stream(Command(("cat",), stdin=b"b\n")) as second,
    ):
        assert node.run(Command(("echo", "c"))).stdout == b"c\n"
        assert (next_line(first), next_line(second)) == ("a", "b")


def test_a_child_that_keeps_the_streams_does_not_hold_its_parents_result(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("sh", "-c", "sleep 300 & echo $!"), timeout=100))
    assert result.status == 0
    assert result.seconds < 30
    os.kill(int(result.stdout), signal.SIGKILL)


def test_ctrl_c_is_taken_at_once(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            node.run(Command(("sleep", "20"), timeout=30))
        assert time.monotonic() - start < 3


def test_ctrl_c_cannot_meet_the_main_thread_within_paramiko(sshd: Sshd) -> None:
    """It would leave a lock held, about one time in thirty when a session is opened."""
    entered: set[str] = set()

    def note(frame: FrameType, _event: str, _argument: object) -> None:
        if "/paramiko/" in frame.f_code.co_filename:
            entered.add(frame.f_code.co_qualname)

    node = connect("n", HOST, sshd.ssh())
    sys.setprofile(note)
    try:
        node.run(Command(("cat",), stdin=b"a"))
        with node.stream(Command(("cat",), stdin=b"a\n")) as lines:
            assert next_line(lines) == "a"
        node.close()
    finally:
        sys.setprofile(None)
    assert entered == set()


def test_after_ctrl_c_the_connection_works(sshd: Sshd) -> None:

    def run_until_ctrl_c(node: Connection, delay: float) -> None:
        threading.Timer(delay, signal.pthread_kill, (MAIN, signal.SIGINT)).start()
        while True:
            node.run(Command(("true",), timeout=5))

    with connect("n", HOST, sshd.ssh()) as node:
        for number in range(50):
            with pytest.raises(KeyboardInterrupt):
                run_until_ctrl_c(node, number / 50 * 0.02)
            for call in node.changing():
                assert call.wait(10), "a call that was interrupted does not end"
        assert node.run(Command(("echo", "there"))).stdout == b"there\n"


def test_what_ctrl_c_leaves_under_way_is_known_until_it_ends(sshd: Sshd, tmp_path: Path) -> None:
    wait = f"touch {tmp_path}/on; while [ -e {tmp_path}/on ]; do sleep 0.02; done"
    with connect("n", HOST, sshd.ssh()) as node:

        def interrupt() -> None:
            while not (tmp_path / "on").exists():
                time.sleep(0.01)
            signal.pthread_kill(MAIN, signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            node.run(Command(("sh", "-c", wait), timeout=20))
        (call,) = node.changing()
        assert not call.is_set()
        (tmp_path / "on").unlink()
        assert call.wait(10)
        assert node.changing() == []


def test_a_pool_keeps_each_nodes_result_or_error(make_sshd: Callable[..., Sshd]) -> None:
    one, two = make_sshd("one"), make_sshd("two")
    nodes: list[dict[str, object]] = [
        {"name": "a", "host": HOST, "role": "head", "ssh": one.ssh().model_dump()},
        {
            "name": "b",
            "host": HOST,
            "role": "worker",
            "ssh": one.ssh(port=free_port()).model_dump(),
        },
        {"name": "c", "host": HOST, "role": "worker", "ssh": two.ssh().model_dump()},
    ]
    inventory = Inventory.model_validate({"cluster": "x", "nodes": nodes, "vllm": {"model": "m"}})
    with Pool(inventory) as pool:
        assert list(pool.connections) == ["a", "c"]
        assert list(pool.errors) == ["b"]
        echoed = {n: c.run(Command(("echo", n))).stdout for n, c in pool.connections.items()}
        error = pool.errors["b"]
    assert echoed == {"a": b"a\n", "c": b"c\n"}
    assert isinstance(error, ConnectError)
    assert error.node == "b"

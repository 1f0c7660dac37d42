"""Commands over a real sshd: streams, bounds, lost connections."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest

from sparkctl.errors import (
    CommandError,
    ConnectError,
    RemoteError,
    RemoteTimeout,
    SparkctlError,
)
from sparkctl.inventory.models import Inventory
from sparkctl.remote import ssh_sessions
from sparkctl.remote.command import Command
from sparkctl.remote.connection import Connection, connect
from sparkctl.remote.fanout import each
from sparkctl.remote.pool import Pool
from sparkctl.remote.ssh_io import KEPT
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


def following(lines: Iterator[str | None]) -> str:
    """The next line, however long it takes."""
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
    left_out = MEGABYTES * 10**6 - 2 * KEPT
    ends = b"e" * KEPT
    assert result.stderr == ends + b"\n[%d bytes left out]\n" % left_out + ends


def test_a_large_stdin_comes_back_through_cat(sshd: Sshd) -> None:
    data = os.urandom(5_000_000)
    with connect("n", HOST, sshd.ssh()) as node:
        assert node.run(Command(("cat",), stdin=data)).stdout == data


def test_a_bound_ends_the_process_on_the_node(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        marker = f"{3000 + os.getpid() / 1e6:.6f}"
        with pytest.raises(RemoteTimeout) as caught:
            node.run(Command(("sleep", marker), timeout=0.5))
        assert (caught.value.code, caught.value.data) == ("timeout", {"seconds": 0.5})
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
            pid = int(following(lines))
            assert following(lines) == "hello"
            assert next(lines) is None
        wait_gone(pid)


def test_read_only_refuses_what_mutates(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh(), read_only=True) as node:
        assert node.run(Command(("true",), mutates=False)).status == 0
        with pytest.raises(SparkctlError) as caught:
            node.run(Command(("true",)))
        assert caught.value.code == "read-only"


def test_more_commands_than_sessions_are_refused(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as streams, connect("n", HOST, sshd.ssh()) as node:
        for _ in range(10):
            streams.enter_context(node.stream(Command(("cat",))))
        monkeypatch.setattr(ssh_sessions, "OPEN_TIMEOUT", 0.1)
        with pytest.raises(RemoteError) as caught:
            node.run(Command(("true",), timeout=0.1))
        assert (caught.value.code, caught.value.data) == ("session-limit", {"limit": 10})
        streams.close()


def test_a_session_that_sshd_refuses_is_no_lost_connection(make_sshd: Callable[..., Sshd]) -> None:
    few = make_sshd("few", more="MaxSessions 1\n")
    with connect("n", HOST, few.ssh()) as node, node.stream(Command(("cat",))):
        with pytest.raises(RemoteError) as caught:
            node.run(Command(("true",)))
        assert caught.value.code == "session-refused"


def test_a_refusal_without_a_reason_is_tried_again(
    make_sshd: Callable[..., Sshd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of two sessions gets that sshd refuses at once."""
    few, refused = make_sshd("few", more="MaxSessions 1\n"), threading.Event()
    monkeypatch.setattr(paramiko.Transport, "get_exception", lambda _: refused.set())
    with connect("n", HOST, few.ssh()) as node, ThreadPoolExecutor(1) as pool:
        with node.stream(Command(("cat",))):
            waiting = pool.submit(node.run, Command(("echo", "5")))
            assert refused.wait(20)
        assert waiting.result().stdout == b"5\n"


def test_a_lost_connection_is_an_error(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        session = int(node.run(Command(("sh", "-c", "ps -o ppid= -p $(ps -o ppid= -p $$)"))).stdout)
        with pytest.raises(ConnectError) as caught:
            node.run(Command(("kill", "-9", str(session))))
        assert caught.value.code == "connection-lost"


def test_a_stream_cut_in_the_middle_is_an_error(sshd: Sshd) -> None:
    script = "echo $(ps -o ppid= -p $(ps -o ppid= -p $$)); cat"
    with connect("n", HOST, sshd.ssh()) as node:
        with node.stream(Command(("sh", "-c", script)), timeout=0.2) as lines:
            os.kill(int(following(lines)), signal.SIGKILL)
            with pytest.raises(ConnectError) as caught:
                list(lines)
        assert caught.value.code == "connection-lost"


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("stream", ["recv", "recv_stderr"])
def test_a_connection_that_ends_while_a_stream_is_read(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    """paramiko announces what it has read, which raises when the connection has just ended."""
    with connect("n", HOST, sshd.ssh()) as node:
        read = getattr(paramiko.Channel, stream)

        def fail(channel: paramiko.Channel, size: int) -> bytes:
            if read(channel, size):
                channel.get_transport().close()
            raise EOFError

        monkeypatch.setattr(paramiko.Channel, stream, fail)
        with pytest.raises(ConnectError) as caught:
            node.run(Command(("sh", "-c", "echo out; echo err >&2; sleep 5")))
        assert caught.value.code == "connection-lost"


def test_a_command_that_a_signal_ends_is_not_a_lost_connection(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        with pytest.raises(CommandError) as caught:
            node.run(Command(("sh", "-c", "kill -9 $$")))
        assert caught.value.code == "killed"
        assert node.run(Command(("true",))).status == 0


def test_a_stream_that_fails_says_why_after_its_lines(sshd: Sshd) -> None:
    script = "import sys; sys.stderr.write('e' * 3_000_000 + '\\nbroken\\n'); print('a'); exit(3)"
    with connect("n", HOST, sshd.ssh()) as node:
        with node.stream(Command(("python3", "-c", script))) as lines:
            assert following(lines) == "a"
            with pytest.raises(CommandError, match="broken") as caught:
                list(lines)
        assert (caught.value.code, caught.value.data["status"]) == ("exit-status", 3)


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
        assert (following(first), following(second)) == ("a", "b")


def test_a_child_that_keeps_the_streams_does_not_hold_its_parents_result(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("sh", "-c", "sleep 300 & echo $!"), timeout=100))
    assert result.status == 0
    assert result.seconds < 30
    os.kill(int(result.stdout), signal.SIGKILL)


def test_a_change_that_ctrl_c_meets_on_its_way_is_not_sent(sshd: Sshd, tmp_path: Path) -> None:
    """A rollback has waited for what was sent before, and for nothing else."""
    over, ended = threading.Event(), threading.Event()

    def change(path: str) -> None:
        assert over.wait(10)
        try:
            each([path], lambda p: connection.run(Command(("touch", p))), key=str)
        finally:
            ended.set()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with connect("n", "127.0.0.1", sshd.ssh()) as connection:
        with pytest.raises(KeyboardInterrupt):
            each([f"{tmp_path}/a"], change, key=str, meanwhile=interrupt)
        assert connection.changing() == []
        over.set()
        assert ended.wait(10)
        connection.run(Command(("touch", f"{tmp_path}/b")))
    assert [path.name for path in tmp_path.iterdir() if path.name in "ab"] == ["b"]


def test_ctrl_c_is_taken_at_once(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            node.run(Command(("sleep", "20"), timeout=30))
        assert time.monotonic() - start < 3


def test_ctrl_c_cannot_meet_the_main_thread_within_paramiko(sshd: Sshd) -> None:
    """It would leave a lock held there, about once in thirty times at the opening of a session."""
    entered: set[str] = set()

    def note(frame: FrameType, _event: str, _argument: object) -> None:
        if "/paramiko/" in frame.f_code.co_filename:
            entered.add(frame.f_code.co_qualname)

    node = connect("n", HOST, sshd.ssh())
    gc.collect()  # which closes the channels that the errors of other tests still hold
    sys.setprofile(note)
    try:
        node.run(Command(("cat",), stdin=b"a"))
        with node.stream(Command(("cat",), stdin=b"a\n")) as lines:
            assert following(lines) == "a"
        node.close()
    finally:
        sys.setprofile(None)
    assert entered == set()


def test_after_ctrl_c_the_connection_is_as_good_as_before(sshd: Sshd) -> None:

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
        said = {n: c.run(Command(("echo", n))).stdout for n, c in pool.connections.items()}
        error = pool.errors["b"]
    assert said == {"a": b"a\n", "c": b"c\n"}
    assert (error.node, error.code) == ("b", "connect-refused")

"""Connections that end within a call or a stream, over a real sshd."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from paramiko.packet import Packetizer

from sparkctl.errors import AuthError, ConnectError, LeaseLostError, RemoteError
from sparkctl.facts.calls import READ_FILES, RUN, TAKE_LEASE, WRITE_FILES
from sparkctl.operations import lease as leases
from sparkctl.operations.follow import follow
from sparkctl.operations.lease import hold
from sparkctl.operations.logs.read import Wanted, read_logs
from sparkctl.operations.logs.selection import Log
from sparkctl.remote import keepalive, reconnect, tcp
from sparkctl.remote.awake import Stopwatch
from sparkctl.remote.command import Command
from sparkctl.remote.connection import connect
from tests.lab.cutting import Node, Relay, numbered, scripted, seconds_left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sparkctl.operations.logs.read import Piece
    from sparkctl.operations.session import Session
    from tests.lab.conftest import Sshd

pytestmark = pytest.mark.lab
LOST = "connection to spark-1 lost; reconnecting"
BACK = "connection to spark-1 restored after N s"
READ: dict[str, Any] = {"names": ["a"]}


@pytest.fixture
def node(make_sshd: Callable[..., Sshd], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(leases, "INTERVAL", 1000.0)  # no renewal meets an armed node
    monkeypatch.setattr(reconnect, "FIRST_PAUSE", 0.05)
    return scripted(make_sshd("sshd", more=f"SetEnv HOME={tmp_path}\n"), tmp_path)


def read(session: Session) -> object:
    return session.ask(session.inventory.head, READ_FILES, READ, title="read the files")


def write(session: Session) -> object:
    request = {"files": {"a": "1"}}
    return session.ask(session.inventory.head, WRITE_FILES, request, title="write the files")


def test_a_one_shot_command_fails_at_once(node: Node) -> None:
    with node.connected() as session:
        node.arm()
        with pytest.raises(ConnectError, match="connection lost while read the files") as caught:
            read(session)
        assert caught.value.code == "connection-lost"
        with pytest.raises(ConnectError):
            read(session)
        assert node.calls() == 1


@pytest.mark.parametrize("call", [read, write])
def test_a_call_that_may_be_repeated_is_made_again(
    node: Node, call: Callable[[Session], object]
) -> None:
    notices: list[str] = []
    with node.connected() as session, hold(session, notices.append, "up", session.inventory.nodes):
        node.arm()
        before = node.calls()
        call(session)
        assert node.calls() == before + 2
        read(session)
        assert session.lease is not None
        session.lease.confirm()
    assert seconds_left_out(notices) == [LOST, BACK]


def test_a_change_that_may_have_been_made_is_not_made_twice(node: Node, tmp_path: Path) -> None:
    with node.connected() as session, hold(session, print, "up", session.inventory.nodes):
        argv = ["sh", "-c", f"echo done >> {tmp_path}/changes"]
        request = {"argv": argv, "env": {}, "run": "r1", "unit": "ray", "timeout": 30.0}
        node.arm()
        with pytest.raises(ConnectError) as caught:
            session.ask(session.inventory.head, RUN, request)
        assert (caught.value.code, caught.value.data["sent"]) == ("connection-lost", True)
        assert (tmp_path / "changes").read_text() == "done\n"
        # What never reached the node is sent on the new connection.
        session.ask(session.inventory.head, RUN, request)
        assert (tmp_path / "changes").read_text() == "done\n" * 2


def test_threads_share_one_new_connection(node: Node) -> None:
    notices: list[str] = []
    with node.connected() as session, hold(session, notices.append, "up", session.inventory.nodes):
        os.kill(node.session_pid(), signal.SIGKILL)
        threads = [threading.Thread(target=read, args=(session,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        read(session)
    assert seconds_left_out(notices) == [LOST, BACK]


def test_a_log_goes_on_where_it_was(node: Node, tmp_path: Path) -> None:
    """Also when it was set aside, and so emptied, while the connection was lost."""
    log, text, cut, notices = tmp_path / "x.log", "", False, list[str]()
    whole = numbered(500_000)  # more than an SSH window holds
    log.write_text(whole)
    request = {"path": str(log), "offset": 0}
    with node.connected() as session:
        head = session.inventory.head
        stream = follow(session, head, request, title="log", notice=notices.append)
        with closing(stream) as events:
            for event in events:
                text += (event and event.text) or ""
                if not cut and len(text) > 3_000_000:
                    cut = True
                    os.kill(node.session_pid(), signal.SIGKILL)
                if len(text) >= len(whole):
                    break
            assert text == whole
            os.kill(node.session_pid(), signal.SIGKILL)
            log.with_suffix(".begin.log").write_text(log.read_text() + "set aside\n")
            log.write_text("begun again\n")
            for event in events:
                text += (event and event.text) or ""
                if text.endswith("begun again\n"):
                    break
    assert text == whole + "set aside\nbegun again\n"
    assert seconds_left_out(notices) == [LOST, BACK] * 2


def test_ctrl_c_ends_logs_at_once_while_their_node_is_lost(node: Node, tmp_path: Path) -> None:
    base, seen = tmp_path / ".sparkctl/sparks", list[str]()
    base.mkdir(parents=True)
    for kind in ("ray", "vllm"):
        (base / f"{kind}.log").write_text(f"{kind}\n")

    def show(pieces: Iterator[Piece]) -> None:
        for piece in pieces:
            seen.append(piece.text or piece.note)
            if len(seen) == 2:
                node.sshd.process.terminate()
                node.sshd.process.wait()
                os.kill(node.session_pid(), signal.SIGKILL)
            if piece.note:
                os.kill(os.getpid(), signal.SIGINT)

    with node.connected() as session:
        logs = [Log(session.inventory.head, f"vllm/0/{kind}/spark-1") for kind in ("ray", "vllm")]
        with pytest.raises(KeyboardInterrupt):
            read_logs(session, logs, Wanted(1, follow=True), show)
    assert sorted(seen[:2]) == ["ray\n", "vllm\n"]
    assert seen[2:] == [LOST]


def test_a_connection_that_cannot_be_written_to_is_lost_though_it_is_still_read(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the reset of a connection does whose last megabytes were not yet read."""

    def refuse(*_: object) -> None:
        raise EOFError

    with connect("n", "127.0.0.1", node.sshd.ssh()) as connection:
        with connection.stream(Command(("sh", "-c", "yes; :"), timeout=60)) as lines:
            next(lines)
            monkeypatch.setattr(Packetizer, "send_message", refuse)
            with pytest.raises(ConnectError) as caught:  # each 200 kB read are told to the node
                list(lines)
        assert caught.value.code == "connection-lost"
        assert not connection.alive()


def test_a_log_that_is_only_read_is_not_waited_for(node: Node, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text(numbered(3))
    request = {"path": str(tmp_path / "x.log"), "lines": 2, "follow": False}
    with node.connected() as session:
        node.arm()
        head = session.inventory.head
        with (
            pytest.raises(ConnectError),
            closing(follow(session, head, request, title="log", notice=print)) as events,
        ):
            list(events)


def test_a_lease_that_another_run_took_meanwhile_ends_the_follow(
    node: Node, tmp_path: Path
) -> None:
    (tmp_path / "x.log").write_text(numbered(3))
    request = {"path": str(tmp_path / "x.log"), "offset": 0}
    with node.connected() as session, hold(session, print, "up", session.inventory.nodes):
        lease = session.lease
        assert lease is not None

        def cut() -> None:
            os.kill(node.session_pid(), signal.SIGKILL)
            with node.connected() as other:
                take(other)

        def watch() -> None:
            stream = follow(session, session.inventory.head, request, title="log")
            with closing(stream) as events:
                next(event for event in events if event is not None)
                cut()
                for _ in events:
                    lease.confirm()

        with pytest.raises(LeaseLostError):
            watch()
        with pytest.raises(LeaseLostError):
            write(session)


def take(session: Session) -> None:
    """As another run, by force."""
    owner = {"who": "another", "when": "now", "why": "up"}
    request = {"owner": owner, "token": "another", "seconds": 30.0, "force": True}
    answer = session.ask(session.inventory.head, TAKE_LEASE, request, leased=False)
    assert answer.holder is None


def test_ctrl_c_ends_the_wait_at_once_and_the_rollback_does_not_wait(node: Node) -> None:
    main = threading.get_ident()

    def interrupt(text: str) -> None:
        if text == LOST:
            signal.pthread_kill(main, signal.SIGINT)

    with node.connected() as session, hold(session, interrupt, "up", session.inventory.nodes):
        node.sshd.process.terminate()
        node.sshd.process.wait()
        os.kill(node.session_pid(), signal.SIGKILL)
        with pytest.raises(KeyboardInterrupt):
            read(session)
        with pytest.raises(ConnectError, match="connection lost while"):
            write(session)


def test_a_key_that_is_refused_ends_the_wait(node: Node) -> None:
    with node.connected() as session, hold(session, print, "up", session.inventory.nodes):
        (node.sshd.folder / "authorized").write_text("")
        os.kill(node.session_pid(), signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(AuthError):
                read(session)


def test_a_node_that_does_not_come_back_is_given_up_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnect, "RECONNECT", 0.3)
    notices: list[str] = []
    with node.connected() as session, hold(session, notices.append, "up", session.inventory.nodes):
        node.sshd.process.terminate()
        node.sshd.process.wait()
        os.kill(node.session_pid(), signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(ConnectError) as caught:
                read(session)
            assert caught.value.code == "not-reconnected"
            assert caught.value.data == {"cause": "connect-refused"}
        assert notices == [LOST]


def test_a_path_that_swallows_everything_is_lost(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy TCP's own time-out does not see the node."""
    monkeypatch.setattr(tcp, "is_bounded", lambda _: False)
    monkeypatch.setattr(keepalive, "KEEPALIVE", 0.2)
    monkeypatch.setattr(keepalive, "ANSWER", 0.5)
    relay = Relay(node.sshd.port)
    at_relay = node.sshd.ssh(port=relay.port, host_keys="accept-new")
    try:
        with connect("n", "127.0.0.1", at_relay) as connection:
            assert connection.run(Command(("echo", "a"))).stdout == b"a\n"
            relay.frozen.set()
            with pytest.raises(ConnectError) as caught:
                connection.run(Command(("echo", "b"), timeout=3000))
            assert caught.value.code == "connection-lost"
            assert not connection.alive()
    finally:
        relay.close()


def test_a_node_that_answers_keepalives_stays_connected(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "is_bounded", lambda _: False)
    monkeypatch.setattr(keepalive, "KEEPALIVE", 0.02)
    with connect("n", "127.0.0.1", node.sshd.ssh()) as connection:
        assert connection.run(Command(("sh", "-c", "sleep 0.5; echo a"))).stdout == b"a\n"
        assert connection.alive()


def test_a_time_out_of_a_suspended_computer_is_no_failed_node(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect("n", "127.0.0.1", node.sshd.ssh()) as connection:
        monkeypatch.setattr(Stopwatch, "awake", lambda _: 0.1)
        monkeypatch.setattr(Stopwatch, "whole", lambda _: 100.0)
        with pytest.raises(ConnectError) as caught:
            connection.run(Command(("sleep", "20"), timeout=0.3))
        assert caught.value.data == {"sent": True, "suspended": True}


def test_the_kernels_time_out_is_set_where_there_is_one(node: Node) -> None:
    assert keepalive.KEEPALIVE + tcp.DEAD_AFTER < 20
    with tcp.connect(("127.0.0.1", node.sshd.port), 5) as connection:
        assert tcp.is_bounded(connection)


def test_an_error_that_is_no_loss_is_not_repeated(node: Node) -> None:
    with node.connected() as session, hold(session, print, "up", session.inventory.nodes):
        before = node.calls()
        with pytest.raises(RemoteError):
            session.ask(session.inventory.head, READ_FILES, {})
        assert node.calls() == before + 1

"""Units over a real sshd: what runs outlives the connection that started it, and is found again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sparkctl.facts import calls
from sparkctl.facts.decode import decode
from sparkctl.remote import node_rpc
from sparkctl.remote.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sparkctl.facts.calls import Call
    from tests.lab.conftest import Sshd

pytestmark = pytest.mark.lab
CLUSTER, UNIT = f"remote-units-{os.getpid()}", "m/0/vllm/n"
RECORD = {"unit": {}, "salt": "s", "argv": [], "environment": {}, "digest": "d", "who": "me"}
SLEEP = ["sh", "-c", "env -i setsid sleep 300 & exec env -i sleep 300"]
T = TypeVar("T")


def ask(node: Connection, call: Call[T], **request: Any) -> T:
    command = node_rpc.call(call.target, {"cluster": CLUSTER, **request})
    return decode(call, node.run(command).check().stdout, "n", call.target)


@pytest.fixture
def cleared(make_sshd: Callable[..., Sshd], tmp_path: Path) -> Iterator[Sshd]:
    """A home of its own: the lab's nodes see what is new in this machine's."""
    sshd = make_sshd("sshd", more=f"SetEnv HOME={tmp_path}\n")
    yield sshd
    with connect("n", "127.0.0.1", sshd.ssh()) as node:
        ask(node, calls.CLEAR, temp_dir="/no/such", grace=1.0)


def test_a_unit_outlives_the_connection_and_starts_once(cleared: Sshd) -> None:
    request = {"unit": UNIT, "run": "r1", "argv": SLEEP, "env": {}, "record": RECORD}
    wait = {"unit": UNIT, "run": "r1", "listens": None, "ends": False}
    with connect("n", "127.0.0.1", cleared.ssh()) as node:
        assert ask(node, calls.JOIN, id="1", by={"who": "me"}, nodes={}).other is None
        first = ask(node, calls.START, **request)
    with connect("n", "127.0.0.1", cleared.ssh()) as node:
        assert ask(node, calls.START, **request) == first
        assert not ask(node, calls.UNTIL, timeout=0.1, **wait).ended
        other = ask(node, calls.JOIN, id="2", by={"who": "you"}, nodes={}).other
        assert other is not None
        assert (other.id, other.by) == ("1", {"who": "me"})
        os.kill(first.pid, signal.SIGKILL)
        assert ask(node, calls.UNTIL, timeout=30, **wait).status == -signal.SIGKILL
        stopped = ask(node, calls.STOP, units=[UNIT], grace=5.0)
        (daemon,) = stopped.stopped
        assert (daemon.unit, daemon.role, daemon.run) == (UNIT, "vllm", "r1")
        assert stopped.remaining == ()
        assert ask(node, calls.FORGET, units=[UNIT]).forgotten == (UNIT,)

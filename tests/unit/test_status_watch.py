"""`status --watch`: one session for all looks, and a lost node that comes back."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sparkctl.engines.inventory import load
from sparkctl.errors import AuthError, ConnectError
from sparkctl.events import Wait
from sparkctl.operations.connect import session
from sparkctl.operations.watch import Watch
from sparkctl.output import statuswatch
from sparkctl.remote import pool
from tests.bench.hostile import run
from tests.bench.nodes import Node
from tests.unit.started import ONE, TWO, started
from tests.unit.statusscreen import healthy
from tests.unit.test_status_units import Given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sparkctl.operations.status import Status


class Cable(Node):
    """A connection that a test cuts."""

    cut = False

    def run(self, command: Any) -> Any:
        if self.cut:
            raise ConnectError("connection lost", node=self.node, code="connection-lost")
        return super().run(command)

    def alive(self) -> bool:
        return not self.cut


class Network:
    """Makes connections; a login fails with `refuses` while that is set, and waits for `lets`."""

    def __init__(self) -> None:
        self.given = Given(started())
        self.made: dict[str, list[Cable]] = {ONE: [], TWO: []}
        self.refuses: Exception | None = None
        self.asked = threading.Semaphore(0)
        self.lets = threading.Event()
        self.lets.set()

    def connect(self, name: str, *_: Any, **__: Any) -> Cable:
        self.asked.release()
        self.lets.wait()
        if self.refuses:
            raise self.refuses
        self.made[name].append(Cable(name, self.given, []))
        return self.made[name][-1]


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    with mock.patch.object(pool, "connect", made.connect):
        yield made
    made.lets.set()


@pytest.fixture
def watch(network: Network, tmp_path: Path) -> Iterator[Watch]:
    path = tmp_path / "inventory.yaml"
    path.write_text(Node.INVENTORY)
    opened = session(load(path), tmp_path, read_only=True, partial=True)
    with opened as found, Watch(found) as made:
        yield made


def seen(status: Status) -> list[tuple[bool, bool]]:
    """Of each node, whether it was reached and read."""
    return [(node.reached, node.error is None) for node in status.nodes]


def until(watch: Watch, condition: Callable[[Status], bool]) -> Status:
    """The first look of which it is true."""
    while not condition(status := watch.look()):
        watch.wait(0.05)
    return status


def test_all_looks_have_one_login(network: Network, watch: Watch) -> None:
    assert [watch.look().healthy for _ in range(3)] == [True] * 3
    assert [len(made) for made in network.made.values()] == [1, 1]
    probes = [node for node, target, _ in network.given.asked if target == "probe.probe"]
    assert sorted(probes) == [ONE] * 3 + [TWO] * 3


def test_a_lost_node_is_unreachable_and_comes_back_while_looks_go_on(
    network: Network, watch: Watch
) -> None:
    assert watch.look().healthy
    network.lets.clear()
    network.made[TWO][0].cut = True
    lost = watch.look()
    assert seen(lost) == [(True, True), (False, False)]
    assert not lost.healthy
    network.asked.acquire(timeout=30)  # the login waits, and no look for it
    assert seen(watch.look()) == [(True, True), (False, False)]
    network.lets.set()
    assert until(watch, lambda status: status.nodes[1].reached).healthy
    assert [len(made) for made in network.made.values()] == [1, 2]


def test_the_reason_is_that_of_the_last_attempt(network: Network, watch: Watch) -> None:
    network.refuses = ConnectError("no route", node=TWO, code="host-unreachable")
    network.made[TWO][0].cut = True
    found = until(watch, lambda status: "no route" in str(status.nodes[1].error))
    assert not found.nodes[1].reached
    network.refuses = None
    assert until(watch, lambda status: status.nodes[1].reached).healthy


def test_a_login_that_is_refused_is_not_made_again(network: Network, watch: Watch) -> None:
    network.refuses = AuthError("refused", node=TWO)
    network.made[TWO][0].cut = True
    found = until(watch, lambda status: isinstance(status.nodes[1].error, AuthError))
    assert not found.nodes[1].reached
    before = network.asked._value
    watch.look()
    assert network.asked._value == before


def test_off_a_terminal_each_status_follows_its_time(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(Node.INVENTORY)
    waits = iter([None, KeyboardInterrupt])
    seconds: list[float] = []

    def wait(_: Watch, given: float) -> None:
        seconds.append(given)
        if ends := next(waits):
            raise ends

    with mock.patch.object(Watch, "wait", wait):
        code, out, err = run(["status", "-w", "--interval", "7", "-i", str(path)])
    assert (code, seconds) == (130, [7.0, 7.0])
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"
    assert len(re.findall(rf"^{time}\ncluster lab: healthy$", out, re.M)) == 2
    assert "\x1b" not in out
    assert err.strip() == "interrupted"


def test_a_look_that_is_late_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    looking = mock.Mock(waiting=lambda: [Wait("read the node's facts", TWO, now - 12)])
    screen = statuswatch._Screen(looking, 2.0, wide=False)
    shown: list[str] = []

    def look() -> Status:
        nonlocal now
        now += 12
        shown.extend(line.plain for line in screen.rows(80))
        return healthy()

    looking.look = look
    screen.look()
    screen.look()
    after = [line.plain for line in screen.rows(80)]
    late = f"  {TWO}  read the node's facts  12 s"
    assert shown == [late, late, *after[1:]], "the last status stays"
    assert after[:2] == ["every 2 s, until Ctrl-C", "cluster lab: healthy"]

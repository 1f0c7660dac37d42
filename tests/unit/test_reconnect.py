"""What ends the wait for a lost connection, which calls are repeated, and time while suspended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import AuthError, ConnectError, HostKeyError, LeaseLostError, SparkctlError
from sparkctl.node.calls import CALLS
from sparkctl.remote import awake, reconnect
from sparkctl.remote.awake import Stopwatch
from sparkctl.remote.reconnect import Patience

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "FIRST_PAUSE", 0.001)


def after(*errors: SparkctlError) -> Callable[[], Any]:
    """Attempts that end in these errors, then one that succeeds."""
    left = list(errors)

    def connect() -> Any:
        if left:
            raise left.pop(0)
        return "connection"

    return connect


AWAY = ConnectError("no route", code="host-unreachable")
NO_DNS = ConnectError("no such name", code="name-unknown")
CUT = AuthError("closed", data={"closed": True})


def test_what_a_network_on_its_way_gives_is_tried_again() -> None:
    notices: list[str] = []
    found: object = reconnect.reconnect("n", after(NO_DNS, AWAY, CUT), Patience(notices.append))
    assert found == "connection"
    assert notices == ["connection to n lost; reconnecting", notices[1]]
    assert notices[1].startswith("connection to n restored after ")


@pytest.mark.parametrize(
    "error",
    [
        HostKeyError("changed"),
        AuthError("refused", data={"closed": False}),
        ConnectError("a loop", code="proxy-jump-loop"),
    ],
)
def test_what_another_attempt_does_not_change_ends_the_wait(error: SparkctlError) -> None:
    with pytest.raises(type(error)) as caught:
        reconnect.reconnect("n", after(AWAY, error), Patience(print))
    assert caught.value is error


def test_a_lost_lease_ends_the_wait() -> None:
    checks = iter([None, None, LeaseLostError("taken")])

    def check() -> None:
        if error := next(checks):
            raise error

    with pytest.raises(LeaseLostError):
        reconnect.reconnect("n", after(*[AWAY] * 9), Patience(print, check))


def test_the_wait_is_bounded_and_says_what_failed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "RECONNECT", 0.01)
    with pytest.raises(ConnectError, match="not restored: no route") as caught:
        reconnect.reconnect("n", after(*[AWAY] * 99), Patience(print))
    assert (caught.value.code, caught.value.node) == ("not-reconnected", "n")


def test_pauses_grow_to_the_longest_and_notices_get_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pauses, notices = [0.0], list[float](), list[str]()
    patience = Patience(notices.append)

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        clock[0] += seconds
        return False

    monkeypatch.setattr(patience.over, "wait", wait)
    monkeypatch.setattr(reconnect, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with pytest.raises(ConnectError):
        reconnect.reconnect("n", after(*[AWAY] * 999), patience)
    assert pauses[:6] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert max(pauses) == reconnect.LONGEST_PAUSE
    assert reconnect.RECONNECT <= sum(pauses) <= reconnect.RECONNECT + 5
    assert len(notices) <= 9


def test_only_what_was_declared_is_repeated() -> None:
    changing = {name for name, bounds in CALLS.items() if bounds.mutates}
    once = {name for name in changing if not CALLS[name].repeatable}
    streams = {"imagestream.receive", "imagestream.send"}
    assert once == {"journal.change", "journal.take_back", "launch.run", *streams}
    assert all(CALLS[name].repeatable for name in CALLS.keys() - changing)


def test_a_stopwatch_counts_what_the_process_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0, 1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "clock_gettime", lambda _: clock[1])
    watch = Stopwatch()
    clock[:] = 101.0, 1001.0
    assert (watch.awake(), watch.whole()) == (1.0, 1.0)
    clock[:] = 102.0, 5000.0  # suspended: Linux's monotonic clock stands
    assert (watch.awake(), watch.whole()) == (2.0, 4000.0)
    clock[:] = 9000.0, 13_898.0  # stopped: it goes on
    assert (watch.awake(), watch.whole()) == (2.0 + awake.GAP, 12_898.0)

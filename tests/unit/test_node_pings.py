"""How a node pings: ping's statistics in their forms, and a ping that refuses the interval."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import firewalls, peers, pings, routes
from sparkctl.node.pings import STATISTICS
from sparkctl.node.subprocesses import Started, start

if TYPE_CHECKING:
    from pathlib import Path

PING: Any = {"to": "spark-2", "interface": "lo", "address": "127.0.0.1", "size": 8972}
IPUTILS = """\
PING 192.168.101.12 (192.168.101.12) from 192.168.101.11 enP2p1s0f0np0: 8972(9000) bytes of data.

--- 192.168.101.12 ping statistics ---
50 packets transmitted, 35 received, 30% packet loss, time 1003ms
rtt min/avg/max/mdev = 0.034/0.046/0.106/0.018 ms, pipe 3
"""
DUPLICATES = "50 packets transmitted, 45 received, +5 duplicates, 10% packet loss, time 998ms\n"
ERRORS = "50 packets transmitted, 0 received, +50 errors, 100% packet loss, time 1222ms\n"
ERRORS_AND_SOME = (
    "50 packets transmitted, 20 received, +2 duplicates, +1 corrupted, +3 errors, 60% packet loss"
)
BUSYBOX = "50 packets transmitted, 45 packets received, 5 duplicates, 10% packet loss\n"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a shell script in place of a program of the node."""

    def put(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return put


def ping(*requests: Any) -> Any:
    """What came of these pings."""
    return pings.finish(requests, pings.begin(requests))


def test_a_real_ping_sends_fifty_in_about_a_second_on_all_halves_at_once() -> None:
    found = ping(*[PING] * 14)
    assert [(p["sent"], p["received"], p["error"], p["problem"]) for p in found] == [
        (50, 50, None, None)
    ] * 14
    # As far as the arguments bound it: machines that are busy may take longer.
    assert pings.COUNT * pings.INTERVAL <= 1


@pytest.mark.parametrize(
    ("printed", "sent", "received"),
    [
        (IPUTILS, 50, 35),
        (DUPLICATES, 50, 45),
        (BUSYBOX, 50, 45),
        (ERRORS_AND_SOME, 50, 20),
    ],
)
def test_loss_is_read_from_the_statistics(
    program: Any, printed: str, sent: int, received: int
) -> None:
    program("ping", f"cat <<'END'\n{printed}\nEND")
    (found,) = ping(PING)
    assert (found["sent"], found["received"]) == (sent, received)
    assert (found["error"], found["problem"]) == (None, None)


ONCE_MORE = """\
echo x >>"$0.calls"
[ $(wc -l <"$0.calls") -gt 1 ] && lost={second} || lost={first}
echo "50 packets transmitted, $((50 - lost)) received, $((lost * 2))% packet loss, time 998ms"
"""


@pytest.mark.parametrize(
    ("first", "second", "sent", "received"),
    [(1, 0, 50, 50), (2, 0, 50, 50), (1, 1, 100, 98), (2, 50, 100, 48), (3, 0, 50, 47)],
)
def test_a_packet_or_two_have_to_be_lost_twice(
    program: Any, first: int, second: int, sent: int, received: int
) -> None:
    program("ping", ONCE_MORE.format(first=first, second=second))
    (found,) = ping(PING)
    assert (found["sent"], found["received"], found["error"]) == (sent, received, None)


def test_total_loss_is_an_error_and_no_problem(program: Any) -> None:
    program("ping", f"cat <<'END'\n{ERRORS}\nEND\nexit 1")
    (found,) = ping(PING)
    assert (found["sent"], found["received"]) == (50, 0)
    assert found["error"].startswith("50 packets transmitted, 0 received, +50 errors")
    assert found["problem"] is None


def test_ping_speaks_english_and_does_not_fragment(program: Any, tmp_path: Path) -> None:
    program("ping", f'echo "$LC_ALL $*" >{tmp_path}/called; echo "{DUPLICATES}"')
    ping(PING)
    called = (tmp_path / "called").read_text().split()
    assert called[0] == "C"
    for option, value in {"-c": "50", "-i": "0.02", "-M": "do", "-s": "8972", "-I": "lo"}.items():
        assert called[called.index(option) + 1] == value
    assert "-w" not in called, "it sends until enough is answered"


REFUSE = """\
case "$*" in *"-i 0.02 "*)
  echo "ping: cannot flood; minimal interval allowed for user is 200ms" >&2; exit 2;;
esac
echo x >>"$0.calls"
echo "5 packets transmitted, 4 received, 20% packet loss, time 801ms"
"""


@pytest.mark.parametrize(("halves", "each"), [(2, 10), (14, 4), (100, 1)])
def test_where_the_interval_is_refused_several_slow_pings_send_as_many(
    program: Any, tmp_path: Path, halves: int, each: int
) -> None:
    program("ping", REFUSE)
    found = ping(*[PING] * halves)
    assert {(p["sent"], p["received"], p["problem"]) for p in found} == {(5 * each, 4 * each, None)}
    assert len((tmp_path / "ping.calls").read_text().splitlines()) == halves * each
    assert pings.FEW * pings.USER_INTERVAL <= 1


def test_a_ping_that_refuses_anyway_was_not_sent(program: Any) -> None:
    program("ping", "echo 'ping: unrecognized option: M' >&2; exit 1")
    (found,) = ping(PING)
    assert found["problem"] == "ping: unrecognized option: M"
    assert (found["sent"], found["received"]) == (None, None)


def test_pings_that_hang_are_not_tried_again(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def counted(argv: list[str], **environment: str) -> Started:
        started.append(argv)
        return start(argv, **environment)

    monkeypatch.setattr(pings, "SECONDS", 0.3)
    monkeypatch.setattr(pings, "start", counted)
    program("ping", "sleep 60")
    found = ping(*[PING] * 10)
    assert all("timed out" in p["problem"] for p in found)
    assert len(started) == 10


def test_what_ping_prints_is_bounded(program: Any) -> None:
    program("ping", "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 2")
    (found,) = ping(PING)
    assert len(found["problem"]) == pings.LONGEST
    assert STATISTICS.search("9" * 30 + " packets transmitted, 1 received") is None


def test_the_way_to_what_was_not_reached_is_looked_up(program: Any) -> None:
    program(
        "ip",
        """
case "$*" in
  *"route get 192.0.2.1") echo '[{"dst":"192.0.2.1","dev":"eth0","prefsrc":"10.0.0.2"}]';;
  *"route get 192.0.2.2") echo '[{"dev":"eth0","gateway":"10.0.0.1"}]';;
  *"route get 192.0.2.3") echo "RTNETLINK answers: Network is unreachable" >&2; exit 2;;
  *"route get"*) echo "not json";;
  *neighbour*) echo '[{"dst":"192.0.2.1","dev":"eth0","state":["FAILED"]},
    {"dst":"10.0.0.1","dev":"eth0","lladdr":"02::1","state":["REACHABLE"]}, 7, {"state": "x"}]';;
esac""",
    )
    found = routes.routes([f"192.0.2.{n}" for n in (1, 2, 3, 4)])
    assert {a: (r["interface"], r["gateway"], r["neighbour"]) for a, r in found.items()} == {
        "192.0.2.1": ("eth0", None, "FAILED"),
        "192.0.2.2": ("eth0", "10.0.0.1", "REACHABLE"),
        "192.0.2.3": (None, None, None),
        "192.0.2.4": (None, None, None),
    }
    problems = [found[f"192.0.2.{n}"]["problem"] for n in (1, 2, 3, 4)]
    assert problems[:2] == [None, None]
    assert "Network is unreachable" in (problems[2] or "")
    assert problems[3] is None, "what could not be read is not that there is no route"


def test_only_what_was_not_reached_has_a_route() -> None:
    connect: Any = {"to": "b", "what": "x", "address": "255.255.255.255", "port": 1}
    refused: Any = {**connect, "address": "127.0.0.1"}
    found = peers.peers({"pings": [], "connects": [connect, refused]})
    assert [*found["routes"]] == ["255.255.255.255"]
    assert [c["errno"] for c in found["connects"]] == ["ENETUNREACH", "ECONNREFUSED"]


@pytest.mark.parametrize(
    ("shown", "active"),
    [
        (("inactive\nactive\ninactive\ninactive", "ENABLED=no"), ["nftables"]),
        (("inactive\ninactive\ninactive\nactive", "# ENABLED=yes"), ["iptables"]),
        (("active\nactive\nunknown\nfailed", "ENABLED=yes"), ["firewalld", "nftables", "ufw"]),
        (("System has not been booted with systemd", 'ENABLED="yes"'), ["ufw"]),
        (("", ""), []),
    ],
)
def test_which_firewall_is_active(
    program: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shown: tuple[str, str],
    active: list[str],
) -> None:
    states, enabled = shown
    (tmp_path / "ufw.conf").write_text(f"# ufw\n{enabled}\nLOGLEVEL=low\n")
    monkeypatch.setattr(firewalls, "UFW", tmp_path / "ufw.conf")
    monkeypatch.setattr(firewalls, "PATH", str(tmp_path))
    program("firewall-cmd", "")
    program("systemctl", f"printf '{states}'; exit 3")
    found = firewalls.finish(firewalls.begin())
    assert found == {"active": active, "installed": ["firewalld"]}


def test_without_systemd_a_firewall_may_still_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewalls, "UFW", tmp_path / "none")
    monkeypatch.setattr(firewalls, "PATH", str(tmp_path))
    assert firewalls.finish(start(["/nowhere/systemctl"])) == {"active": [], "installed": []}

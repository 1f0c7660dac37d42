"""fabric.ping: what fifty pings on each half show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.runner import choose_checks
from tests.unit.doctorview import examined, healthy, wrong
from tests.unit.peeranswers import peer

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

ONE, TWO = "spark-1", "spark-2"
SECOND = "enP2p1s0f0np0"


def lossy(received: int, sent: int = 50) -> Answers:
    """A pair of which the second node's second half gets this many answers."""
    answers = healthy()
    peer(answers, TWO)["pings"][1].update(sent=sent, received=received)
    return answers


def found(answers: Answers, *severities: str) -> list[Finding]:
    """What fabric.ping finds, of these severities alone if any is given."""
    every = examined(answers, "fabric.ping")
    return [f for f in every if not severities or f.severity.value in severities]


def codes(answers: Answers, severity: str) -> list[tuple[str | None, str]]:
    return [(f.node, f.code) for f in found(answers, severity)]


@pytest.mark.parametrize(
    ("received", "percent", "severity"),
    [(49, 2, "WARN"), (48, 4, "WARN"), (45, 10, "FAIL"), (35, 30, "FAIL"), (20, 60, "FAIL")],
)
def test_loss_on_a_half_is_found_with_its_figure(
    received: int, percent: float, severity: str
) -> None:
    (loss,) = found(lossy(received))
    assert (loss.node, loss.code, loss.severity.value) == (TWO, "packet-loss", severity)
    assert loss.data == {
        "interface": SECOND,
        "peer": ONE,
        "address": "192.168.101.11",
        "size": 8972,
        "sent": 50,
        "received": received,
        "percent": percent,
    }
    assert loss.summary.startswith(f"{50 - received} of 50 packets ({percent} %)")
    assert SECOND in loss.summary


def test_one_lost_packet_of_few_does_not_stop_up() -> None:
    assert [c.id for c in choose_checks(["fabric.ping"]) if c.preflight] == ["fabric.ping"]
    assert [f.severity.value for f in found(lossy(19, 20))] == ["WARN"]
    assert [f.severity.value for f in found(lossy(18, 20))] == ["FAIL"]


def test_a_loss_of_a_third_has_a_figure_to_read() -> None:
    (loss,) = found(lossy(20, 30))
    assert loss.data["percent"] == 33.3
    assert "(33.3 %)" in loss.summary


def test_no_answer_at_all_keeps_its_own_code() -> None:
    (lost,) = found(lossy(0))
    assert (lost.code, lost.severity.value) == ("packets-lost", "FAIL")
    assert (lost.data["sent"], lost.data["received"]) == (50, 0)
    assert (lost.evidence[0].expected, lost.evidence[0].got) == ("50 answers", "none")


def test_a_healthy_pair_says_how_many_pings_arrived() -> None:
    (well,) = found(healthy())
    assert (well.severity.value, well.data["sent"], well.data["received"]) == ("OK", 200, 200)


@pytest.mark.parametrize("statistics", [{"sent": None}, {"received": None}, {"sent": 0}])
def test_pings_without_statistics_are_unknown(statistics: dict[str, Any]) -> None:
    answers = healthy()
    peer(answers, TWO)["pings"][1].update(statistics)
    assert codes(answers, "UNKNOWN") == [(TWO, "not-pinged")]
    assert len(found(answers)) == 1


def test_a_refused_ping_is_unknown_with_its_reason_and_never_a_loss() -> None:
    answers = healthy()
    refused = "ping: cannot flood; minimal interval allowed for user is 200ms"
    for ping in peer(answers, TWO)["pings"]:
        ping.update(sent=None, received=None, error=refused, problem=refused)
    assert codes(answers, "UNKNOWN") == [(TWO, "not-pinged")] * 2
    assert all(refused in f.summary for f in found(answers))


def test_answers_without_a_route_back_are_the_peers_fault() -> None:
    answers = healthy()
    peer(answers, ONE)["pings"][1].update(received=0, error="100% packet loss")
    way = {"interface": "enP7s7", "gateway": "10.77.0.1", "problem": None, "neighbour": None}
    peer(answers, TWO)["routes"] = {"192.168.101.11": way}
    (lost,) = found(answers)
    assert (lost.node, lost.code, lost.severity.value) == (TWO, "no-route-back", "FAIL")
    assert lost.data == {"peer": ONE, "address": "192.168.101.11"}


def test_loss_hides_no_other_half() -> None:
    answers = lossy(45)
    peer(answers, TWO)["pings"][0].update(received=0)
    assert codes(answers, "FAIL") == [(TWO, "packets-lost"), (TWO, "packet-loss")]
    assert wrong(answers) == {("fabric.ping", TWO, "FAIL")}


def test_a_half_that_was_never_pinged_is_unknown() -> None:
    answers = healthy()
    del answers.looks["peers"][TWO]["pings"][1]
    assert codes(answers, "UNKNOWN") == [(TWO, "not-pinged")]
    assert codes(answers, "OK") == []


def test_a_ping_that_fails_leaves_no_word_of_success() -> None:
    answers = healthy()
    answers.looks["peers"][TWO]["pings"][0]["error"] = "100% packet loss"
    (finding,) = examined(answers, "fabric.ping")
    assert finding.severity.value == "FAIL"
    assert finding.node == TWO


def test_a_half_that_is_down_is_not_pinged_and_said_so() -> None:
    answers = healthy()
    answers.facts[TWO]["ib"]["roceP2p1s0f0"]["ports"]["1"]["state"] = "DOWN"
    for name in answers.names:
        del answers.looks["peers"][name]["pings"][1]
    assert codes(answers, "UNKNOWN") == [(ONE, "not-pinged"), (TWO, "not-pinged")]
    # The reason names the end that is not ACTIVE.
    assert [f.summary.partition(": ")[2] for f in examined(answers, "fabric.ping")] == [
        "enP2p1s0f0np0 there is not ACTIVE",
        "it is not ACTIVE",
    ]


def test_halves_without_a_common_subnet_are_a_failure() -> None:
    answers = healthy()
    for octet, interface in ((8, "enp1s0f0np0"), (9, "enP2p1s0f0np0")):
        answers.facts[TWO]["net"][interface]["ipv4"] = [f"192.168.{octet}.12/24"]
    for name in answers.names:
        answers.looks["peers"][name]["pings"] = []
    assert codes(answers, "FAIL") == [(TWO, "no-common-subnet")]

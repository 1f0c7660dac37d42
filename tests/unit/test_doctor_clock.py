"""host.clock: which clock is the one that is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.doctorview import INVENTORY, Answers, examined, healthy

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding

NOW = 1_000_000.0  # when the controller asked
LINE = "\n  - {{name: spark-{n}, host: 10.77.0.1{n}, role: worker}}"


def clocks(*offsets: float) -> Answers:
    """Nodes whose clocks are that far from the controller's; the first is the head.

    Of a single one, its peer was not reached.
    """
    more = "".join(LINE.format(n=n) for n in range(3, len(offsets) + 1))
    text = INVENTORY.replace("role: worker}", "role: worker}" + more)
    answers = healthy(text)
    facts = {}
    for node, offset in zip(answers.inventory.nodes, offsets, strict=False):
        own = {"time": NOW + offset, "time_end": NOW + 1 + offset}
        facts[node.name] = {**healthy().facts["spark-1"], **own}
    answers.facts = facts
    answers.asked = dict.fromkeys(facts, (NOW - 0.1, NOW + 1.1))
    return answers


def summaries(answers: Answers) -> dict[str | None, str]:
    """What each wrong clock is said to be; None is the controller."""
    found: list[Finding] = examined(answers, "host.clock")
    return {f.node: f.summary for f in found if f.code != "ok"}


def severities(answers: Answers) -> dict[str | None, str]:
    """The severity of each node's finding; None is the controller."""
    found: list[Finding] = examined(answers, "host.clock")
    assert len(found) == len({f.node for f in found})
    return {f.node: f.severity.value for f in found}


A, B, C, D = (f"spark-{n}" for n in range(1, 5))


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ((0, 0), {A: "OK", B: "OK"}),
        ((3600, 0), {A: "FAIL", B: "OK"}),
        ((0, -3600), {A: "OK", B: "FAIL"}),
        ((0, 10), {A: "OK", B: "WARN"}),
        ((3600, 3600), {A: "OK", B: "OK", None: "INFO"}),
        ((3600, 3600, 0), {A: "OK", B: "OK", C: "FAIL", None: "INFO"}),
        ((3600, 0, 0), {A: "FAIL", B: "OK", C: "OK"}),
        ((3600, 0, 0, 0), {A: "FAIL", B: "OK", C: "OK", D: "OK"}),
        ((0, 0, 3600, 3600), {A: "OK", B: "OK", C: "FAIL", D: "FAIL"}),
        ((0,), {B: "UNKNOWN"}),
        ((3600,), {B: "UNKNOWN", None: "INFO"}),
    ],
)
def test_the_clock_that_differs_is_blamed_not_the_others(
    offsets: tuple[float, ...], expected: dict[str | None, str]
) -> None:
    assert severities(clocks(*offsets)) == expected


@pytest.mark.parametrize(
    ("offsets", "node", "text"),
    [
        ((3600, 0), A, f"clock is 3600 s ahead of {B} and this machine"),
        ((0, -3600), B, f"clock is 3600 s behind {A} and this machine"),
        ((0, 0, -99), C, f"clock is 99 s behind {A}, {B} and this machine"),
        ((30, 30, 30, 30, 99), "spark-5", "clock is 69 s ahead of 4 others, which agree"),
        ((30, 30), None, f"the clock of this machine is 30 s behind {A} and {B}"),
        ((-30, -30, -30), None, f"the clock of this machine is 30 s ahead of {A}, {B} and {C}"),
    ],
)
def test_the_direction_and_the_clocks_that_agree_are_named(
    offsets: tuple[float, ...], node: str | None, text: str
) -> None:
    assert summaries(clocks(*offsets))[node] == text


def test_of_three_clocks_that_all_differ_none_is_trusted() -> None:
    answers = clocks(100, -100)
    found = summaries(answers)
    assert found[A].startswith("clock is 100 s ahead of this machine; no two clocks agree")
    assert found[B].startswith("clock is 100 s behind this machine; no two clocks agree")
    (finding,) = [f for f in examined(answers, "host.clock") if f.node == A]
    assert (finding.data["direction"], finding.data["agree"]) == ("ahead", ["this machine"])
    assert finding.evidence[0].got == "+100 s"


def test_no_more_than_the_round_trip_leaves_possible_is_severities() -> None:
    answers = clocks(0, 30)
    answers.asked = {**answers.asked, B: (NOW - 29, NOW + 31.5)}  # a login that took half a minute
    assert severities(answers) == {A: "OK", B: "OK"}


def test_a_clock_that_could_not_be_read_is_unknown_and_hides_no_other() -> None:
    answers = clocks(3600, 0, 0)
    answers.asked = {n: span for n, span in answers.asked.items() if n != A}
    assert severities(answers) == {A: "UNKNOWN", B: "OK", C: "OK"}

"""host.clock: which clock is the one that is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.doctorview import INVENTORY, examined, healthy

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import View

LINE = "\n  - {{name: spark-{n}, host: 10.77.0.1{n}, role: worker}}"


def view_of(*offsets: float) -> View:
    """Nodes whose clocks are that far from the controller's; the first is the head.

    Of a single one, its peer was not reached.
    """
    more = "".join(LINE.format(n=n) for n in range(3, len(offsets) + 1))
    text = INVENTORY.replace("role: worker}", "role: worker}" + more)
    view = healthy(text)
    facts = {}
    for node, offset in zip(view.inventory.nodes, offsets, strict=False):
        facts[node.name] = healthy().facts("spark-1")
        facts[node.name].update(time=1000.0 + offset, time_end=1001.0 + offset)
    view.all_facts = facts
    view.asked = dict.fromkeys(facts, (999.9, 1001.1))
    return view


def told(view: View) -> dict[str | None, str]:
    """The severity of each node's finding; None is the controller."""
    found: list[Finding] = examined(view, "host.clock")
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
    assert told(view_of(*offsets)) == expected


def test_no_more_than_the_round_trip_leaves_possible_is_told() -> None:
    view = view_of(0, 30)
    view.asked = {**view.asked, B: (971.0, 1031.5)}  # a login that took half a minute
    assert told(view) == {A: "OK", B: "OK"}


def test_a_clock_that_could_not_be_read_is_unknown_and_hides_no_other() -> None:
    view = view_of(3600, 0, 0)
    view.asked = {n: span for n, span in view.asked.items() if n != A}
    assert told(view) == {A: "UNKNOWN", B: "OK", C: "OK"}

"""Of which nodes no check could be decided."""

from __future__ import annotations

from typing import Any

import pytest

from sparkctl.doctor.runner import choose_checks, evaluate, undecided
from sparkctl.doctor.snapshot import View
from sparkctl.errors import ConnectError
from tests.unit.doctorview import healthy

ONE, TWO = "spark-1", "spark-2"


def told(view: View, *only: str, skip: tuple[str, ...] = ()) -> dict[str, str]:
    checks = choose_checks(only, skip)
    return undecided(view, checks, evaluate(view, checks))


def changed(facts: dict[str, Any] | None, *, passive: bool = False, **errors: Any) -> View:
    """The pair; the second node's facts are these, or there are none."""
    view = healthy()
    others = {ONE: view.all_facts[ONE]} | ({TWO: facts} if facts is not None else {})
    return View(
        inventory=view.inventory,
        nodes=view.nodes,
        layers=[],
        login=view.login,
        all_facts=others,
        asked=view.asked,
        sources={} if passive else view.sources,
        passive=passive,
        **errors,
    )


def test_a_healthy_pair_is_decided_with_every_selection() -> None:
    view = healthy()
    assert told(view) == {}
    for family in {c.id.partition(".")[0] for c in choose_checks()} - {"running"}:
        assert told(view, family) == {}, family
    assert told(view, "running") == {}, "nothing runs, and that is known"


@pytest.mark.parametrize("passive", [False, True])
def test_a_node_that_answers_with_nothing_is_undecided(passive: bool) -> None:
    assert [*told(changed({}, passive=passive))] == [TWO]
    assert [*told(changed({}, passive=passive), skip=("reach",))] == [TWO]


def test_a_node_without_facts_is_undecided_with_the_reason() -> None:
    view = changed(None, errors={TWO: ConnectError("no route", node=TWO)})
    assert told(view) == {TWO: "spark-2 was not reached"}
    assert told(view, "fabric.mtu") == {TWO: "spark-2 was not reached"}
    assert told(view, "reach.ssh") == {}, "whether it answers is what was asked"


def test_a_pair_that_cannot_be_compared_is_undecided_on_both_sides() -> None:
    assert [*told(changed(None), "fabric.ping")] == [ONE, TWO]


def test_what_passive_leaves_out_is_undecided() -> None:
    view = changed(healthy().facts(TWO), passive=True)
    assert told(view, "runtime.imports") == dict.fromkeys((ONE, TWO), "left out with --passive")
    assert told(view) == {}


def test_a_cluster_check_that_lacks_the_head_leaves_who_asks_undecided() -> None:
    view = healthy()
    only = View(inventory=view.inventory, nodes=view.nodes[1:], layers=[],
                all_facts={TWO: view.all_facts[TWO]})  # fmt: skip
    assert [*told(only, "running.ray")] == [TWO]


def test_a_bug_in_the_only_check_decides_nothing() -> None:
    facts = healthy().facts(TWO)
    facts["ports"] = [5]
    assert told(changed(facts), "ports.free")[TWO].startswith("the check has a bug")
    assert told(changed(facts)) == {}, "the other checks were decided"

"""Of which nodes no check could be decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import ok
from sparkctl.doctor.runner import choose_checks, evaluate, undecided
from sparkctl.errors import ConnectError
from tests.unit.doctorview import Answers, healthy

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import Snapshot

ONE, TWO = "spark-1", "spark-2"


def reasons(answers: Answers, *only: str, skip: tuple[str, ...] = ()) -> dict[str, str]:
    snapshot, checks = answers.snapshot(), choose_checks(only, skip)
    return undecided(snapshot, checks, evaluate(snapshot, checks))


def changed(facts: dict[str, Any] | None, *, passive: bool = False, **errors: Any) -> Answers:
    """The pair; the second node's facts are these, or there are none."""
    answers = healthy()
    answers.facts = {ONE: answers.facts[ONE]} | ({TWO: facts} if facts is not None else {})
    return replace(answers, looks={} if passive else answers.looks, passive=passive, **errors)


def test_a_healthy_pair_is_decided_with_every_selection() -> None:
    answers = healthy()
    assert reasons(answers) == {}
    for family in {c.id.partition(".")[0] for c in choose_checks()} - {"running"}:
        assert reasons(answers, family) == {}, family
    assert reasons(answers, "running") == {}, "nothing runs, and that is known"


@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("family", ["fabric", "settings", "runtime", "model", "ports"])
def test_a_node_that_could_read_nothing_is_undecided(family: str, passive: bool) -> None:
    found = reasons(changed({}, passive=passive), family)
    assert TWO in found
    assert passive or ONE not in found


def test_a_node_without_facts_is_undecided_with_the_reason() -> None:
    answers = changed(None, errors={TWO: ConnectError("no route", node=TWO)})
    reason = str(answers.snapshot().absence(TWO))
    assert reasons(answers) == {TWO: reason}
    assert reasons(answers, "fabric.mtu") == {TWO: reason}
    assert reasons(answers, "reach.ssh") == {}, "whether it answers is what was asked"


def test_a_pair_that_cannot_be_compared_is_undecided_on_both_sides() -> None:
    assert [*reasons(changed(None), "fabric.ping")] == [ONE, TWO]


def test_what_passive_leaves_out_is_undecided() -> None:
    answers = changed(healthy().facts[TWO], passive=True)
    assert [*reasons(answers, "runtime.imports")] == [ONE, TWO]
    assert reasons(answers) == {}


def test_a_cluster_check_that_lacks_the_head_leaves_who_asks_undecided() -> None:
    answers = healthy()
    facts = {TWO: answers.facts[TWO]}
    only = Answers(inventory=answers.inventory, nodes=answers.nodes[1:], facts=facts)
    assert [*reasons(only, "running.ray")] == [TWO]


def test_a_bug_in_the_only_check_decides_nothing() -> None:
    def crash(_: Snapshot, name: str) -> list[Finding]:
        if name == TWO:
            raise ValueError("a bug")
        return [ok("well")]

    snapshot, check = healthy().snapshot(), Check("ports.free", "node", crash)
    assert [*undecided(snapshot, [check], evaluate(snapshot, [check]))] == [TWO]
    both = [check, *choose_checks(["fabric.mtu"])]
    assert undecided(snapshot, both, evaluate(snapshot, both)) == {}, "the other check was decided"

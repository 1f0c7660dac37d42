"""A remedy that depends on another finding waits for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.doctor import dependencies
from sparkctl.doctor.dependencies import RULES, prerequisites, withhold
from sparkctl.doctor.finding import Evidence, Finding, Severity, fail, warn
from sparkctl.doctor.fix import plan
from sparkctl.doctor.preflight import refuse
from sparkctl.doctor.remedy import Action, Prior, Remedy
from sparkctl.doctor.runner import choose_checks, evaluate
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import PreflightError
from tests.unit.doctorview import INVENTORY, examined, healthy
from tests.unit.runningpair import running
from tests.unit.test_codes import codes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE, TWO, THREE = "spark-1", "spark-2", "spark-3"
SPACE = '"rocep1s0f0, roceP2p1s0f0"'
CODES = {check.id: {*codes_of(check)} for check in CHECKS}
CODES["fabric.choice"] |= {"no-usable-port", "port-not-active", "address-missing"}  # port_errors.py
SCOPES = {check.id: check.scope for check in CHECKS}


def a_failure(name: str, *about: str, severity: Severity = Severity.FAIL) -> Finding:
    """A finding `check/code` about these nodes, with a command and a change."""
    check, _, code = name.partition("/")
    action = Action("mend", "drop-caches")
    remedy = Remedy("mend it", ("mend",), (action,))
    found = fail(f"{name} is wrong", Evidence("a", "b", "c"), remedy, code=code or "wrong")
    return replace(found, severity=severity).of(check, SCOPES[check], *about)


def left(*findings: Finding, head: str = ONE) -> list[tuple[str, list[str]]]:
    """The check and the places that come first, of each finding whose remedy is withheld."""
    return [
        (f.check, [p.place for p in f.fix.after])
        for f in withhold(findings, findings, head)
        if f.fix and f.fix.after
    ]


def names(check: str) -> set[tuple[str, str]]:
    """The findings that a name in the table means."""
    check_id, _, code = check.partition("/")
    if code:
        return {(check_id, code)}
    ids = [c for c in CODES if check_id in (c, c.partition(".")[0])]
    return {(c, code) for c in ids for code in CODES[c]}


@pytest.mark.parametrize("name", sorted({n for r in RULES for n in (r.waiting, *r.first, *r.but)}))
def test_every_name_in_the_table_is_a_finding(name: str) -> None:
    assert names(name), "there is no such check"
    assert names(name) <= {(check, code) for check in CODES for code in CODES[check]}


def test_nothing_waits_for_itself() -> None:
    waits: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for rule in RULES:
        for waiting in names(rule.waiting).difference(*map(names, rule.but)):
            waits.setdefault(waiting, set()).update(*map(names, rule.first))
    while free := [w for w, first in waits.items() if not first & {*waits}]:
        for waiting in free:
            del waits[waiting]
    assert waits == {}, "these wait for each other"


def test_every_check_that_up_runs_comes_before_a_restart() -> None:
    for check in CHECKS:
        if check.preflight:
            (place,) = left(a_failure(check.id, TWO), a_failure("running.environment", ONE))
            assert place == ("running.environment", [f"{check.id} on {TWO}"])


def test_a_value_that_is_broken_is_not_given_to_processes_that_work() -> None:
    answers = running()
    answers.inventory = healthy(INVENTORY + f"env: {{set: {{NCCL_IB_HCA: {SPACE}}}}}\n").inventory
    found = examined(answers)
    restarts = [f for f in found if f.check == "running.environment"]
    assert [f.severity.value for f in restarts] == ["FAIL", "FAIL"]
    for finding in restarts:
        assert finding.evidence, "what was found stays"
        assert finding.document()["fix"] == {
            "text": f"fix fabric.hca on {ONE} and fabric.hca on {TWO} first",
            "commands": [],
            "after": [
                {"check": "fabric.hca", "code": "hca-not-selected", "node": node}
                for node in (ONE, TWO)
            ],
        }
    (first, _) = [f for f in found if f.check == "fabric.hca"]
    assert first.fix
    assert first.document()["fix"]["after"] == []


def test_a_check_that_was_not_chosen_withholds_unless_it_is_skipped() -> None:
    answers = running()
    answers.inventory = healthy(INVENTORY + f"env: {{set: {{NCCL_IB_HCA: {SPACE}}}}}\n").inventory
    checks = choose_checks(["running.environment"])
    for skip, withheld in (((), True), (("fabric.hca",), False)):
        found = evaluate(answers.snapshot(), checks, prerequisites(checks, skip))
        assert {f.check for f in found} == {"running.environment"}
        assert [bool(f.fix and f.fix.after) for f in found] == [withheld, withheld]


def test_the_end_of_a_chain_is_named_where_a_remedy_is_shown() -> None:
    subnets, pairing = a_failure("fabric.subnets", TWO), a_failure("fabric.pairing", ONE, TWO)
    ping, restart = a_failure("fabric.ping", ONE, TWO), a_failure("running.ranks", ONE)
    end = [f"fabric.subnets on {TWO}"]
    assert left(restart, ping, pairing, subnets) == [
        ("running.ranks", end),
        ("fabric.ping", end),
        ("fabric.pairing", end),
    ]


def test_only_a_failure_withholds() -> None:
    for severity in set(Severity) - {Severity.FAIL}:
        first = a_failure("fabric.addresses", TWO, severity=severity)
        assert left(first, a_failure("fabric.gid", TWO)) == []
    volatile = a_failure("fabric.persistent", TWO, severity=Severity.WARN)
    assert left(a_failure("fabric.addresses", TWO), volatile) == [
        ("fabric.persistent", [f"fabric.addresses on {TWO}"])
    ]


@pytest.mark.parametrize(
    ("waiting", "first", "waits"),
    [
        (("fabric.gid", ONE), ("fabric.addresses", ONE), True),
        (("fabric.subnets/halves-share-subnet", ONE), ("fabric.addresses/link-local", ONE), True),
        (("fabric.subnets/halves-share-subnet", ONE), ("fabric.addresses/link-local", TWO), False),
        (("fabric.subnets/halves-share-subnet", ONE), ("fabric.halves", ONE), False),
        (("fabric.choice/no-usable-port", ONE), ("fabric.halves", ONE), True),
        (("fabric.choice/cage-missing", ONE), ("fabric.halves", ONE), False),
        (("fabric.gid", ONE), ("fabric.addresses", TWO), False),
        (("fabric.gid", ONE), ("fabric.pairing", ONE, TWO), True),
        (("fabric.gid", THREE), ("fabric.pairing", ONE, TWO), False),
        (("fabric.ping", ONE, TWO), ("fabric.mtu", ONE), True),
        (("fabric.ping", ONE, TWO), ("fabric.mtu", THREE), False),
        (("fabric.ping", ONE, TWO), ("fabric.pairing", ONE, TWO), True),
        (("fabric.ping", ONE, TWO), ("fabric.pairing", ONE, THREE), False),
        (("fabric.halves/no-carrier", ONE), ("fabric.halves/interface-down", TWO), True),
        (("fabric.halves/interface-down", ONE), ("fabric.halves/no-carrier", TWO), False),
        (("runtime.versions", TWO), ("runtime.present", ONE), True),
        (("runtime.versions", TWO), ("runtime.present", THREE), False),
        (("running.generation/wedged", ONE), ("running.ranks", TWO), True),
        (("running.api/unreachable", ONE), ("running.ranks", TWO), False),
        (("running.api/unreachable", ONE), ("fabric.hca", ONE), False),
        (("running.libnccl/nodes-differ",), ("fabric.hca", ONE), False),
        (("running.transport", TWO), ("running.libnccl/nodes-differ",), True),
    ],
)
def test_where_a_remedy_waits(waiting: Sequence[str], first: Sequence[str], *, waits: bool) -> None:
    failures = [a_failure(first[0], *first[1:])]
    (found,) = withhold([a_failure(waiting[0], *waiting[1:])], failures, ONE)
    assert found.fix
    assert bool(found.fix.after) is waits
    assert bool(found.fix.commands) is not waits


def test_many_are_counted_in_words_and_listed_as_json() -> None:
    checks = ("fabric.hca", "fabric.mtu", "host.memory", "host.disk", "model.present")
    findings = [*(a_failure(c, TWO) for c in checks), a_failure("running.ray", ONE)]
    (finding,) = [f for f in withhold(findings, findings, ONE) if f.check == "running.ray"]
    assert finding.fix
    assert finding.fix.text.endswith(" and 2 more first")
    assert {p["check"] for p in finding.document()["fix"]["after"]} == {*checks}


def test_an_end_of_many_chains_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or eight nodes without a fabric take minutes."""
    named: list[tuple[str | None, ...]] = []

    def prior(*place: str | None) -> Prior:
        named.append(place)
        return Prior(*map(str, place))

    monkeypatch.setattr(dependencies, "Prior", prior)
    nodes = [f"spark-{n}" for n in range(1, 5)]
    chosen = [c for c in CHECKS if c.scope != "pair"]
    findings = [a_failure(c.id, node) for c in chosen for node in nodes]
    found = withhold(findings, findings, ONE)
    assert len(named) == sum(len(f.fix.after) for f in found if f.fix)


def test_fix_changes_nothing_that_waits() -> None:
    mtu, choice = a_failure("fabric.mtu", TWO), a_failure("fabric.choice", TWO)
    assert [p.check for p in plan(withhold([mtu], [mtu], ONE))] == ["fabric.mtu"]
    assert [p.check for p in plan(withhold([mtu], [choice], ONE))] == []


def test_up_prints_what_comes_first() -> None:
    answers = healthy()
    answers.facts[TWO]["net"]["enP2p1s0f0np0"]["ipv4"] = []
    failures = [f for f in examined(answers) if f.severity is Severity.FAIL]
    with pytest.raises(PreflightError) as caught:
        refuse(failures)
    lines = str(caught.value).splitlines()
    pairing = next(n for n, line in enumerate(lines) if "fabric.pairing" in line)
    assert lines[pairing + 1].strip() == f"fix fabric.addresses on {TWO} first"


def test_a_finding_without_a_remedy_stays_as_it_is() -> None:
    found = warn("w", Evidence("a", "b", "c"), Remedy("r"), code="x").of("running.ray", "cluster")
    bare = replace(found, fix=None)
    assert withhold([bare], [a_failure("fabric.hca", ONE)], ONE) == [bare]


def test_the_prerequisites_are_those_of_the_prerequisites_too() -> None:
    checks = choose_checks(["fabric.persistent"])
    assert {c.id for c in prerequisites(checks)} >= {"fabric.pairing", "fabric.subnets"}
    assert prerequisites(choose_checks(["host.clock"])) == []

"""The difference between units that should run and those that do: what is kept, what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.node.difference import DRAIN, START, STOP, difference, waves
from sparkctl.node.unitid import replica_of
from sparkctl.node.units import (
    ALONG,
    FAILED,
    RANK,
    REACHABLE,
    READY,
    STARTED,
    STARTING,
    Absent,
    Member,
    Need,
    Process,
    Program,
    Running,
    Stop,
    Unit,
    Unread,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.node.units import Observed

HEAD, WORKER, SERVE = "m/0/ray/a", "m/0/ray/b", "m/0/vllm/a"


def unit(name: str, *needs: Need, members: tuple[Member, ...] = (), group: str = "") -> Unit:
    _, _, kind, node = name.split("/")
    return Unit(name, node, kind, kind, group or name, Program((kind,)), needs, members, digest="d")


def cluster() -> dict[str, Unit]:
    """Ray on two nodes, and what is served on it."""
    return {
        HEAD: unit(HEAD, members=(Member("a", "gcs_server"),)),
        WORKER: unit(WORKER, Need(HEAD, REACHABLE)),
        SERVE: unit(
            SERVE,
            Need(HEAD, STARTED),
            Need(WORKER, ALONG),
            members=(Member("a", "serve"), Member("a", RANK), Member("b", RANK)),
        ),
    }


def gang() -> dict[str, Unit]:
    """Two ranks that are one group."""
    return {n: unit(n, group="g") for n in ("t/0/rank/a", "t/0/rank/b")}


def running(one: Unit, phase: str = READY, **values: object) -> Running:
    found = tuple(
        Process(m.node, 1, f"/x/{m.what}" if m.what != RANK else "title", m.what == RANK)
        for m in one.members
    )
    return replace(Running(one.node, "r1", one.digest, phase, 0.0, found), **values)  # type: ignore[arg-type]  # a test's fields


def seen(units: dict[str, Unit], **values: Observed) -> dict[str, Observed]:
    """All of them run, but those that are named by node and kind."""
    found: dict[str, Observed] = {n: running(u) for n, u in units.items()}
    return found | {n: o for n in units for k, o in values.items() if n.endswith(k)}


def changes(units: dict[str, Unit], observed: dict[str, Observed], **more: object) -> list[str]:
    return [str(c) for c in difference(units, observed, **more).changes]  # type: ignore[arg-type]  # a test's arguments


def test_nothing_differs_from_what_runs() -> None:
    assert not difference(cluster(), seen(cluster()))


def test_a_new_cluster_starts_in_waves() -> None:
    plan = difference(cluster(), {n: Absent(u.node) for n, u in cluster().items()})
    (part,) = plan.parts
    assert [(s.action, s.units) for s in part.steps] == [
        (START, (HEAD,)),
        (START, (WORKER, SERVE)),
    ]


@pytest.mark.parametrize("until", [STARTED, REACHABLE, READY])
def test_a_need_of_another_kind_orders_the_starts(until: str) -> None:
    units = {**cluster(), SERVE: unit(SERVE, Need(WORKER, until))}
    plan = difference(units, {n: Absent(u.node) for n, u in units.items()})
    assert [s.units for s in plan.parts[0].steps] == [(HEAD,), (WORKER,), (SERVE,)]


def test_a_worker_takes_with_it_what_follows_it() -> None:
    observed = seen(cluster()) | {WORKER: Absent("b")}
    plan = difference(cluster(), observed)
    assert [str(c) for c in plan.changes] == [
        "start ray on b: not running",
        "restart vllm on a: ray on b is being started",
    ]
    (part,) = plan.parts
    assert [(s.action, s.units) for s in part.steps] == [
        (STOP, (SERVE,)),
        (START, (WORKER, SERVE)),
    ]


def test_the_head_takes_all_with_it_and_dependents_stop_first() -> None:
    plan = difference(cluster(), seen(cluster()), unsound={HEAD: "x"})
    assert plan.units(STOP) == [SERVE, WORKER, HEAD]


def test_what_does_not_follow_stays() -> None:
    units = {**cluster(), SERVE: unit(SERVE, Need(HEAD, REACHABLE, follows=False))}
    assert changes(units, seen(units) | {WORKER: Absent("b")}) == ["start ray on b: not running"]


@pytest.mark.parametrize("node", ["a", "b"])
def test_one_dead_rank_replaces_its_group(node: str) -> None:
    units = gang()
    observed = seen(units) | {f"t/0/rank/{node}": Absent(node)}
    plan = difference(units, observed)
    assert {c.unit for c in plan.changes} == {*units}
    assert plan.units(START) == [*units]


def test_a_dead_member_makes_its_unit_unsound() -> None:
    alive = running(cluster()[SERVE]).processes
    gone = running(cluster()[SERVE], processes=alive[:2])
    assert changes(cluster(), seen(cluster()) | {SERVE: gone}) == [
        "restart vllm on a: its rank on b died"
    ]
    server = running(cluster()[SERVE], processes=alive[1:])
    assert changes(cluster(), seen(cluster()) | {SERVE: server}) == [
        "restart vllm on a: its API server died"
    ]


def test_a_rank_that_it_was_not_started_with_has_not_died() -> None:
    grown = replace(cluster()[SERVE], digest="other")
    before = running(cluster()[SERVE], processes=running(grown).processes[:2])
    units = cluster() | {SERVE: grown}
    assert changes(units, seen(units) | {SERVE: before}, changed={SERVE: "--tp: 1 -> 2"}) == [
        "restart vllm on a: --tp: 1 -> 2"
    ]


def test_ranks_that_are_nowhere_recognized_prove_nothing() -> None:
    one = running(cluster()[SERVE])
    blind = replace(one, processes=one.processes[:1])
    assert not changes(cluster(), seen(cluster()) | {SERVE: blind})


def test_a_start_has_no_ranks_yet_but_its_program() -> None:
    one = running(cluster()[SERVE], STARTING)
    assert not changes(
        cluster(), seen(cluster()) | {SERVE: replace(one, processes=one.processes[:1])}
    )
    assert changes(cluster(), seen(cluster()) | {SERVE: replace(one, processes=())})


def test_a_failed_start_is_replaced() -> None:
    assert changes(cluster(), seen(cluster()) | {SERVE: running(cluster()[SERVE], FAILED)}) == [
        "restart vllm on a: its start failed"
    ]


def test_another_digest_is_named_in_words() -> None:
    other = running(cluster()[SERVE], digest="e")
    observed = seen(cluster()) | {SERVE: other}
    assert changes(cluster(), observed) == ["restart vllm on a: its settings changed"]
    assert changes(cluster(), observed, changed={SERVE: "--x: 1 -> 2"}) == [
        "restart vllm on a: --x: 1 -> 2"
    ]


def test_what_is_no_longer_wanted_is_stopped_as_it_was_started() -> None:
    left = replace(unit("m/0/ray/c"), title="Ray worker", stop=Stop(drain=5.0))
    observed = seen(cluster()) | {
        "m/0/ray/c": running(left),
        "old/0/x/d": running(unit("old/0/x/d")),
    }
    plan = difference(cluster(), observed, recorded={left.id: left})
    assert [str(c) for c in plan.changes] == [
        "stop Ray worker on c: no longer in the inventory",
        "stop x on d: no longer in the inventory",
    ]
    assert [[(s.action, s.seconds) for s in p.steps] for p in plan.parts] == [
        [(DRAIN, 5.0), (STOP, 0.0)],
        [(STOP, 0.0)],
    ]


def test_an_unread_unit_blocks_its_replica_and_no_other() -> None:
    units = {**cluster(), **gang()}
    observed = seen(units) | {WORKER: Unread("b", "denied"), HEAD: Absent("a")}
    observed["t/0/rank/a"] = Absent("a")
    plan = difference(units, observed)
    assert {b.change.unit for b in plan.blocked} == {HEAD, SERVE}
    assert {(b.by, b.reason) for b in plan.blocked} == {(WORKER, "denied")}
    assert [p.replica for p in plan.parts] == ["t/0"]
    assert WORKER not in plan.units(STOP, START)


def test_nothing_is_concluded_of_ranks_on_a_node_that_is_unread() -> None:
    one = running(cluster()[SERVE])
    observed = seen(cluster()) | {WORKER: Unread("b", "x")}
    observed[SERVE] = replace(one, processes=one.processes[:2])
    assert not difference(cluster(), observed)


def test_units_that_need_each_other_are_refused() -> None:
    one, two = unit("m/0/x/a", Need("m/0/x/b")), unit("m/0/x/b", Need("m/0/x/a"))
    with pytest.raises(ValueError, match="need each other"):
        waves([one.id, two.id], {one.id: one, two.id: two})


states = st.sampled_from(["running", "other", "starting", "failed", "absent", "unread"])


@given(st.lists(states, min_size=5, max_size=5))
def test_whatever_is_observed_the_plan_is_sound(found: list[str]) -> None:
    units = {**cluster(), **gang()}
    made: dict[str, Callable[[Unit], Observed]] = {
        "running": running,
        "other": lambda u: running(u, digest="e"),
        "starting": lambda u: running(u, STARTING),
        "failed": lambda u: running(u, FAILED),
        "absent": lambda u: Absent(u.node),
        "unread": lambda u: Unread(u.node, "x"),
    }
    observed = {n: made[s](u) for (n, u), s in zip(units.items(), found, strict=True)}
    plan = difference(units, observed)
    starts, stops = plan.units(START), plan.units(STOP)
    steps = [step for part in plan.parts for step in part.steps]
    place = {(step.action, u): at for at, step in enumerate(steps) for u in step.units}
    for name, state in observed.items():
        if isinstance(state, Unread):
            assert name not in (*starts, *stops)
        if isinstance(state, Absent):
            assert name not in stops
        if name in starts and isinstance(state, Running):
            assert name in stops
    for unit_ in units.values():
        touched = unit_.id in starts
        for need in unit_.needs:
            assert need.unit not in starts or touched
            if touched and need.unit in starts and need.until != ALONG:
                assert place[START, need.unit] < place[START, unit_.id]
            if unit_.id in stops and need.unit in stops:
                assert place[STOP, unit_.id] < place[STOP, need.unit]
        mates = {u for u in units if units[u].group == unit_.group}
        assert not touched or mates <= {*starts}
    parts = {p.replica for p in plan.parts}
    assert not parts & {replica_of(b.change.unit) for b in plan.blocked}
    # Once it is carried out nothing is left to do.
    after: dict[str, Observed] = {
        n: running(units[n]) if n in starts else o for n, o in observed.items()
    }
    assert not [p for p in difference(units, after).parts if p.replica in parts]

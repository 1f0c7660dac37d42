"""Whose a process is, by its own mark, its ancestors' and the record, and who only claims it."""

from __future__ import annotations

import pytest

from sparkctl.node import marks
from sparkctl.node.processes import Process
from sparkctl.node.unitid import kind_of

ME, OTHER = 1000, 1001
UNIT = "m/0/vllm/a"
RECORDED = marks.Program("lab", "r1", UNIT, 50, 500)
NONE: dict[str, str] = {}
OWN = {"cluster": "lab", "run": "r1", "role": "vllm", "unit": UNIT}


def process(
    pid: int, ppid: int = 1, uid: int = ME, *, session: int = 0, mark: dict[str, str] = NONE
) -> Process:
    """A process that started at ten times its pid."""
    cluster, run, role, unit = (mark.get(name, "") for name in OWN)
    return Process(
        pid, ppid, 10 * pid, "S", "x", cluster, run, role, uid, unit=unit, session=session or pid
    )


def found(*table: Process, recorded: bool = False) -> dict[int, tuple[str, str, str, str]]:
    """Cluster, role, unit and claims of each process that has any of them, by pid."""
    programs = [RECORDED] if recorded else []
    done = marks.assigned({p.pid: p for p in table}, ME, programs, but=99)
    rows = {pid: (p.cluster, p.role, p.unit, p.claims) for pid, p in done.items()}
    return {pid: row for pid, row in rows.items() if any(row)}


ENGINE = ("lab", "vllm", UNIT, "")


def test_descendants_have_the_mark_that_they_lost() -> None:
    table = [process(10, mark=OWN), process(11, 10), process(12, 11, OTHER), process(13)]
    assert found(*table) == dict.fromkeys((10, 11, 12), ENGINE)


def test_what_a_shim_starts_is_the_units_and_the_shim_is_not() -> None:
    shim = process(10, mark={**OWN, "role": marks.LOG})
    table = [shim, process(11, 10), process(12, 11)]
    assert found(*table) == {10: ("lab", "log", UNIT, ""), 11: ENGINE, 12: ENGINE}


def test_the_mark_of_another_account_is_a_claim() -> None:
    table = [process(10, uid=OTHER, mark=OWN), process(11, 10, OTHER), process(12, 10)]
    assert found(*table) == {10: ("", "", "", "lab/r1")}


def test_the_mark_of_another_account_below_ours_is_the_ancestors() -> None:
    theirs = process(11, 10, OTHER, mark={**OWN, "cluster": "x", "unit": "y"})
    assert found(process(10, mark=OWN), theirs) == {10: ENGINE, 11: ENGINE}


def test_an_own_mark_is_stronger_than_an_ancestors() -> None:
    other = {**OWN, "cluster": "x", "unit": ""}
    assert found(process(10, mark=OWN), process(11, 10, mark=other))[11] == ("x", "vllm", "", "")


def test_the_reader_itself_is_nobodys_child() -> None:
    assert found(process(10, mark=OWN), process(99, 10)) == {10: ENGINE}


@pytest.mark.parametrize("leader", [True, False])
def test_a_recorded_program_and_its_session_are_the_units(leader: bool) -> None:
    table = [process(50, uid=OTHER)] if leader else []
    table += [process(51, session=50), process(52, 51, OTHER), process(53)]
    pids = [50, 51, 52] if leader else [51, 52]
    assert found(*table, recorded=True) == dict.fromkeys(pids, ENGINE)


def test_a_pid_that_was_taken_again_is_nobodys() -> None:
    later = process(50)._replace(started=900)
    assert found(later, process(91, 50, session=50), recorded=True) == {}
    # Nor is what was there before.
    assert found(process(7, session=50), recorded=True) == {}


@pytest.mark.parametrize(
    ("unit", "kind"), [(UNIT, "vllm"), ("a/b/0/ray/n", "ray"), ("vllm", "vllm"), ("", "")]
)
def test_the_kind_of_a_unit(unit: str, kind: str) -> None:
    assert kind_of(unit) == kind

"""Every single fact taken away, one by one: no check calls well what it could not see."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.finding import Finding, Severity
from sparkctl.doctor.runner import evaluate
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import CommandError
from sparkctl.facts.node import SCALARS
from sparkctl.facts.unread import Unread
from tests.unit.doctorview import healthy

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot
    from tests.unit.doctorview import Answers

TWO = "spark-2"
Keys = tuple[Any, ...]  # the way to a value inside facts
Change = Callable[[Any, Any], None]  # of what holds a value, and its key there

# What a node lists as it finds it: what is not in the list is not there, which is a finding.
LISTED = re.compile(
    r"ib\.\w+|ib\.\w+\.ports\.\d|ib\.\w+\.ports\.\d\.gids\.\d|net\.\w+|net\.\w+\.ipv[46]\.\d"
    r"|verbs\.uverbs\.\w+|verbs\.providers\.\d+|runtime\.versions\.\w+|gpu\.gpus\.\d"
    r"|persistence\.files\.\d(\.(addresses|interfaces)\.\d)?"
    r"|(ib|net)\.\w+\.pci"  # none for a device that is on no PCI bus
    r"|unread|" + "|".join(SCALARS)  # an answer without these is no answer
)
# What node/ gives null for when it could not read it.
NULL = re.compile(
    r"ib\.\w+\.ports\.\d\.(state|gids\.\d\.type)|net\.\w+\.(mtu|speed|pcie_speed|pcie_width)|system\.(kernel|cmdline)"
    r"|pings\.\d\.(sent|received)"
    r"|system\.capabilities|disk\.[\w ]+\.free|runtime\.python|gpu\.gpu_processes"
)


def root(answers: Answers, source: str) -> Any:
    """The second node's facts, or what a look at it gave."""
    return answers.facts[TWO] if source == "facts" else answers.looks[source][TWO]


def ways(value: Any, above: Keys = ()) -> Iterator[Keys]:
    """The way to every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        yield (*above, key)
        if isinstance(item, (dict, list)):
            yield from ways(item, (*above, key))


def holder(answers: Answers, source: str, way: Keys) -> Any:
    found = root(answers, source)
    for key in way[:-1]:
        found = found[key]
    return found


def put(value: Any) -> Change:
    def change(where: Any, key: Any) -> None:
        where[key] = value

    return change


def delete(where: Any, key: Any) -> None:
    del where[key]


def others(value: Any) -> list[Any]:
    """Other values of that kind, one of which a check that reads it may call wrong."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [0, 1, 2**40]
    if isinstance(value, str):
        return ["other", "590.1", "7.0.0-1019-nvidia", "1"]
    if value is None:
        return ["other"]
    return [{}] if isinstance(value, dict) else [[]]


def judged(snapshot: Snapshot) -> dict[str, list[Finding]]:
    """The findings of each check, all run at once."""
    found: dict[str, list[Finding]] = {check.id: [] for check in CHECKS}
    for finding in evaluate(snapshot, CHECKS):
        found[finding.check].append(finding)
    return found


BEFORE = judged(healthy().snapshot())


def changed(source: str, way: Keys, change: Change) -> dict[str, list[Finding]]:
    """The findings of each check that says something else than before."""
    answers = healthy()
    change(holder(answers, source, way), way[-1])
    try:
        snapshot = answers.snapshot()
    except CommandError as error:  # as doctor/collect.py has it
        del answers.looks[source][TWO]
        snapshot = answers.snapshot()
        snapshot.looks = replace(snapshot.looks, **{source: {TWO: Unread(source, str(error))}})
    return {check: found for check, found in judged(snapshot).items() if found != BEFORE[check]}


def severities(check: str, found: list[Finding]) -> set[Severity]:
    """Of what a check says that it did not say before."""
    return {f.severity for f in found if f not in BEFORE[check]}


def removals(source: str, way: Keys) -> list[Change]:
    name = ".".join(map(str, way))
    found: list[Change] = [] if LISTED.fullmatch(name) else [delete]
    return [*found, put(None)] if NULL.fullmatch(name) else found


WAYS = [(s, way) for s in ("facts", "peers", "imports") for way in ways(root(healthy(), s))]


@pytest.mark.parametrize("group", sorted({(source, way[0]) for source, way in WAYS}))
def test_no_check_is_content_without_what_it_reads(group: tuple[str, Any]) -> None:
    for source, way in (w for w in WAYS if (w[0], w[1][0]) == group):
        value = holder(healthy(), source, way)[way[-1]]
        found = [changed(source, way, change) for change in removals(source, way)]
        for after in found:
            for check, told in after.items():
                assert severities(check, told) <= {Severity.UNKNOWN}, (way, check, told)
        # A check that calls another value wrong reads it; one that does not may do without.
        for other in others(value) if found else ():
            for check, told in changed(source, way, put(other)).items():
                if severities(check, told) & {Severity.FAIL, Severity.WARN}:
                    assert all(check in after for after in found), (way, check)

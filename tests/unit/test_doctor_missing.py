"""Every single fact taken away, one by one: no check calls well what it could not see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sparkctl.doctor.catalog import CHECKS
from sparkctl.doctor.finding import Finding, Severity
from sparkctl.doctor.runner import evaluate
from sparkctl.doctor.view import View
from tests.unit.doctorview import healthy

TWO = "spark-2"
Path = tuple[str | int, ...]


def root(view: View, source: str) -> Any:
    """The second node's facts, or what a look at it gave."""
    return view.all_facts[TWO] if source == "facts" else view.sources[source][TWO]


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """The way to every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        yield (*above, key)
        if isinstance(item, (dict, list)):
            yield from paths(item, (*above, key))


def place(view: View, source: str, path: Path) -> Any:
    """What holds the value at the end of a path."""
    found = root(view, source)
    for key in path[:-1]:
        found = found[key]
    return found


def others(value: Any) -> list[Any]:
    """Values of the same kind that a node might have told instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [0, 1, value * 100 + 1]
    if isinstance(value, str):
        return ["other", "590.1", "7.0.0-1019-nvidia", "1"]
    if value is None:
        return ["other", 1, True]
    return [type(value)()]


BEFORE = {c.id: evaluate(healthy(), [c]) for c in CHECKS}


def findings(source: str, path: Path, change: Any) -> dict[str, list[Finding]]:
    view = healthy()
    change(place(view, source, path), path[-1])
    return {c.id: evaluate(view, [c]) for c in CHECKS}


def new(check: str, after: list[Finding]) -> set[Severity]:
    return {f.severity for f in after if f not in BEFORE[check]}


def matters(source: str, path: Path, value: Any) -> set[str]:
    """The checks to which this fact makes a difference."""
    found = set()
    for other in others(value):
        def put(where: Any, key: Any, other: Any = other) -> None:
            where[key] = other
        for check, after in findings(source, path, put).items():
            if new(check, after) & {Severity.FAIL, Severity.WARN}:
                found.add(check)
    return found


def delete(where: Any, key: Any) -> None:
    del where[key]


def null(where: Any, key: Any) -> None:
    where[key] = None


SOURCES = ["facts", "peers", "imports"]
if __name__ == "__main__":
    for source in SOURCES:
        for path in paths(root(healthy(), source)):
            value = place(healthy(), source, path)[path[-1]]
            relevant = matters(source, path, value)
            for how in (delete, null):
                if how is null and value is None:
                    continue
                for check, after in findings(source, path, how).items():
                    got = new(check, after)
                    name = f"{source}:{'.'.join(map(str, path))} {how.__name__} {check}"
                    if got - {Severity.UNKNOWN}:
                        print("BAD", name, sorted(s.value for s in got),
                              [f.summary for f in after if f not in BEFORE[check]][:1])
                    elif check in relevant and Severity.UNKNOWN not in {f.severity for f in after}:
                        print("SILENT", name)

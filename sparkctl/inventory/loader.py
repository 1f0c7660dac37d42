"""From a file to an Inventory, or every problem at once as file:line:column: path: text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sparkctl.errors import InventoryError
from sparkctl.inventory import paths, validate, yamlread
from sparkctl.inventory.error_text import message
from sparkctl.inventory.models import Inventory
from sparkctl.inventory.partial import known, prefixes
from sparkctl.inventory.paths import Problem, dotted, shown

if TYPE_CHECKING:
    from pathlib import Path

# Gives each problem of an inventory; what is not valid in it is None, see partial.py.
Rule = Callable[[Inventory], Iterable[Problem]]

_NOWHERE = object()
HINT = "`sparkctl init` writes a commented example; README.md has the reference"


def load(path: Path, rules: Sequence[Rule] = ()) -> Inventory:
    """Read an inventory, checked by `rules` as well as by its own; no node is contacted.

    Raises InventoryError with every problem that the file has.
    """
    try:
        with path.open("rb") as file:  # a pipe will do, and no file is read to its end
            data = file.read(yamlread.MAX_BYTES + 1)
    except FileNotFoundError:
        raise InventoryError(
            [f"{path}: wanted an inventory, there is no such file"],
            hint="name it with -i or SPARKCTL_INVENTORY, or write one with `sparkctl init`",
        ) from None
    except IsADirectoryError:
        raise InventoryError([f"{path}: wanted a file, found a directory"], hint=HINT) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        said = f"{str(path)!r}: wanted an inventory, it cannot be read: {reason}"
        raise InventoryError([said], hint=HINT) from error
    return parse(data, str(path), rules)


def parse(data: bytes, name: str, rules: Sequence[Rule] = ()) -> Inventory:
    """The inventory in `data`; `name` stands before each problem.

    Raises InventoryError with every problem, in the order of the file.
    """
    document = yamlread.read(data)
    problems = set(document.problems)
    inventory: Inventory | None = None
    if document.marks:  # else nothing could be built, and there is nothing more to say
        inventory, found = _validate(document.value, (validate.check, *rules))
        told = {(line, column) for line, column, _ in problems}
        for path, text, at_key in found:
            place = document.place(path, at_key=at_key)
            if place not in told:
                problems.add((*place, f"{dotted(path)}: {text}"))
    if problems or inventory is None:
        lines = [f"{name}:{line}:{column}: {text}" for line, column, text in sorted(problems)]
        raise InventoryError(lines, hint=HINT)
    return inventory


def _validate(value: Any, rules: Sequence[Rule]) -> tuple[Inventory | None, list[Problem]]:
    if not isinstance(value, dict):
        said = f"wanted a mapping with cluster, nodes and vllm, found {shown(value)}"
        return None, [Problem((), said)]
    try:
        inventory = Inventory.model_validate(value)
    except ValidationError as error:
        problems: dict[paths.Path, Problem] = {}
        for detail in error.errors():
            path = _known_part(detail["loc"], value, detail["type"])
            at_key = detail["type"] == "extra_forbidden" or detail["loc"][-1] == "[key]"
            problems.setdefault(path, Problem(path, message(detail, path), at_key))
        # Of a union's branches the one that got furthest says what is wrong.
        above = {path[:n] for path in problems for n in range(len(path))}
        found = [p for path, p in problems.items() if path not in above or p.at_key]
        rest = known(Inventory, value, prefixes(problems.keys()))
        return None, [*found, *_broken(rules, rest)]
    return inventory, _broken(rules, inventory)


def _broken(rules: Sequence[Rule], inventory: Inventory) -> list[Problem]:
    return [problem for rule in rules for problem in rule(inventory)]


def _known_part(loc: paths.Path, value: Any, kind: str) -> paths.Path:
    """The part of pydantic's loc that stands in the file: union branches are no keys."""
    path: list[str | int] = []
    for part in loc:
        inner = _step(value, part)
        if inner is not _NOWHERE:
            value = inner
        elif not (kind == "missing" and part == loc[-1]):
            continue
        path.append(part)
    return tuple(path)


def _step(value: Any, part: str | int) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOWHERE

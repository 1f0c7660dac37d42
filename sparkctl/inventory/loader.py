"""From a file to an Inventory, or every problem at once with its line and column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from sparkctl.errors import FileProblem, InventoryError
from sparkctl.inventory import error_text, validate, yamlread
from sparkctl.inventory.models import Inventory
from sparkctl.inventory.partial import prefixes, valid_part
from sparkctl.inventory.paths import Path, Problem, shown

if TYPE_CHECKING:
    import pathlib

    from pydantic_core import ErrorDetails

    from sparkctl.inventory.yamlread import Value

# Gives each problem of an inventory; what is not valid in it is None, see partial.py.
Rule = Callable[[Inventory], Iterable[Problem]]

HINT = "`sparkctl init` writes a commented example; README.md has the reference"


def load(path: pathlib.Path, rules: Sequence[Rule] = ()) -> Inventory:
    """The inventory in a file, checked by `rules` as well as by its own; no node is contacted.

    Raises InventoryError with every problem of the file.
    """
    try:
        with path.open("rb") as file:  # it may be a pipe, or endless
            data = file.read(yamlread.MAX_BYTES + 1)
    except FileNotFoundError:
        raise InventoryError(
            [FileProblem("file-not-found", "file not found", str(path))],
            hint="name it with -i or SPARKCTL_INVENTORY, or write one with `sparkctl init`",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        text = f"cannot read the inventory: {reason}"
        problem = FileProblem("unreadable-file", text, str(path))
        raise InventoryError([problem], hint=HINT) from error
    return parse(data, str(path), rules)


def parse(data: bytes, name: str, rules: Sequence[Rule] = ()) -> Inventory:
    """The inventory in `data`; `name` is the file in messages.

    Raises InventoryError with every problem, in the order of the file.
    """
    document = yamlread.read(data)
    problems = {p.in_file(name, *place) for place, p in document.problems}
    inventory: Inventory | None = None
    if document.marks:  # else the text is no YAML
        inventory, found = _validate(document.value, (validate.check, *rules))
        reported = {place for place, _ in document.problems}
        for problem in found:
            place = document.place(problem.path, at_key=problem.at_key)
            if place not in reported:
                problems.add(problem.in_file(name, *place))
    if problems or inventory is None:
        raise InventoryError(sorted(problems, key=_order), hint=HINT)
    return _with_roles(inventory)


def _with_roles(inventory: Inventory) -> Inventory:
    """The inventory with the role of each node that has a service."""
    roles: dict[str, str] = {}
    for view in inventory.views:
        roles |= {n.name: "worker" for n in view.nodes} | {view.head.name: "head"}
    nodes = [n.model_copy(update={"role": roles.get(n.name)}) for n in inventory.nodes]
    return inventory.model_copy(update={"nodes": nodes})


def _order(problem: FileProblem) -> tuple[int, int, str, str]:
    return problem.line or 0, problem.column or 0, problem.path or "", problem.text


def _validate(value: Value, rules: Sequence[Rule]) -> tuple[Inventory | None, list[Problem]]:
    if not isinstance(value, dict):
        text = f"expected a mapping with cluster, nodes, and vllm or services, got {shown(value)}"
        return None, [Problem((), text, code="wrong-type")]
    try:
        inventory = Inventory.model_validate(value)
    except ValidationError as error:
        problems = _problems(error.errors(), value)
        rest = valid_part(Inventory, value, prefixes(problems.keys()))
        # Of a union's branches only the one that got furthest says what is wrong.
        above = {path[:n] for path in problems for n in range(len(path))}
        found = [p for path, p in problems.items() if path not in above or p.at_key]
        return None, [*found, *_broken(rules, rest)]
    return inventory, _broken(rules, inventory)


def _problems(errors: list[ErrorDetails], value: Value) -> dict[Path, Problem]:
    """One problem a path: of a key rather than of its value, of a union's last branch."""
    problems: dict[Path, Problem] = {}
    for error in errors:
        path = _known_part(error["loc"], value, error["type"])
        if path not in problems or not problems[path].at_key:
            problems[path] = error_text.problem(error, path)
    return problems


def _broken(rules: Sequence[Rule], inventory: Inventory) -> list[Problem]:
    return [problem for rule in rules for problem in rule(inventory)]


def _known_part(loc: Path, value: Value, kind: str) -> Path:
    """The part of pydantic's loc that stands in the file: union branches are no keys."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif not (kind == "missing" and part == loc[-1]):
            continue
        path.append(part)
    return tuple(path)

"""From a file to an Inventory, or every problem at once as file:line:column: path: text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sparkctl.errors import InventoryError
from sparkctl.inventory import rules, yamlread
from sparkctl.inventory.messages import message, shown
from sparkctl.inventory.models import Inventory

_NOWHERE = object()
HINT = "`sparkctl init` writes a commented example; README.md has the reference"


def load(path: Path) -> Inventory:
    """Read an inventory; no node is contacted.

    Raises InventoryError with every problem that the file has.
    """
    try:
        if path.is_dir():
            raise InventoryError([f"{path}: wanted a file, found a directory"], hint=HINT)
        if path.exists() and path.stat().st_size > yamlread.MAX_BYTES:
            raise InventoryError([f"{path}:1:1: wanted at most 1 MiB, found more"], hint=HINT)
        data = path.read_bytes()
    except FileNotFoundError:
        raise InventoryError(
            [f"{path}: wanted an inventory, there is no such file"],
            hint="name it with -i or SPARKCTL_INVENTORY, or write one with `sparkctl init`",
        ) from None
    except (OSError, ValueError) as error:
        raise InventoryError([f"{path}: cannot be read: {error}"], hint=HINT) from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Inventory:
    """The inventory in `data`; `name` stands before each problem.

    Raises InventoryError with every problem, in the order of the file.
    """
    document = yamlread.read(data)
    problems = list(document.problems)
    inventory: Inventory | None = None
    # A document that could not be built has nothing more to say.
    if document.marks:
        if isinstance(document.value, dict):
            inventory, found = _validate(document.value)
            placed = {(line, column) for line, column, _ in problems}
            for path, text in found:
                line, column = _place(document, path)
                if (line, column) not in placed:  # it has been told why already
                    problems.append((line, column, f"{yamlread.dotted(path)}: {text}"))
        else:
            problems.append((1, 1, f"(top): wanted a mapping, found {shown(document.value)}"))
    if problems or inventory is None:
        lines = [f"{name}:{line}:{column}: {text}" for line, column, text in sorted(set(problems))]
        raise InventoryError(lines, hint=HINT)
    return inventory


def _validate(value: dict[str, Any]) -> tuple[Inventory | None, list[rules.Problem]]:
    try:
        inventory = Inventory.model_validate(value)
    except ValidationError as error:
        found: dict[tuple[str | int, ...], str] = {}
        for detail in error.errors():
            path = _known_part(detail["loc"], value, detail["type"])
            found.setdefault(path, message(detail, path))
        # Of a union's branches the one that got furthest says what is wrong.
        inner = {path[:n] for path in found for n in range(len(path))}
        return None, [(path, text) for path, text in found.items() if path not in inner]
    return inventory, list(rules.check(inventory))


def _known_part(loc: tuple[str | int, ...], value: Any, kind: str) -> tuple[str | int, ...]:
    """The part of pydantic's loc that stands in the file: union branches are no keys."""
    path: list[str | int] = []
    for part in loc:
        inner = _step(value, part)
        if inner is not _NOWHERE:
            value = inner
        elif kind == "missing" and part == loc[-1]:
            path.append(part)
            break
        else:
            continue
        path.append(part)
    return tuple(path)


def _step(value: Any, part: str | int) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOWHERE


def _place(document: yamlread.Document, path: tuple[str | int, ...]) -> tuple[int, int]:
    """Where a path stands: its key for unknown keys, its value else, or the nearest parent."""
    while path not in document.marks and path not in document.keys:
        path = path[:-1]
    return document.marks.get(path) or document.keys[path]

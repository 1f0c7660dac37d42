"""Which rooms of the house may use which, and what only one of them may: read from the imports."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sparkctl

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUSE = Path(sparkctl.__file__).parent
BASE = {"ages", "doubts", "errors", "events", "interrupt", "kept", "secret", "text"}
# A room, and the rooms below it that it may use. There is no way back, so there are no cycles.
USES: dict[str, set[str]] = {
    "node": set(),
    "facts": BASE | {"node"},
    "inventory": BASE | {"node"},
    "fabric": BASE | {"facts", "node"},
    "runtimes": {"inventory", "node"},
    "engines": BASE | {"facts", "fabric", "inventory", "node", "runtimes"},
    "plan": BASE | {"engines", "facts", "fabric", "inventory", "node", "runtimes"},
    "remote": BASE | {"facts", "inventory", "node"},
}
USES["operations"] = USES["plan"] | {"plan", "remote"}
USES["doctor"] = USES["operations"] | {"operations"}
USES["lab"] = BASE | {"engines", "facts", "node", "remote"}
USES["output"] = USES["doctor"] | {"doctor", "lab"}
USES["cli"] = BASE | {*USES}
USES |= {"secret": {"text"}, "errors": {"text"}, "events": {"errors"}, "text": set(), "kept": set()}
USES |= {"ages": set(), "interrupt": set()}
USES["doubts"] = {"errors"}
# A library that only these rooms may use.
OWNED = {
    "click": {"cli"},
    "paramiko": {"remote"},
    "rich": {"output"},
    "jinja2": {"output"},
    "pydantic": {"facts", "inventory"},
}
ELSEWHERE = {"ray", "vllm", "torch", "sglang"}  # only nodes have these
# What prints besides output/, and why.
PRINTS = {"node": "a node replies on stdout"}
PROMPTS = "cli/terminal.py"  # asks, by click
FOREIGN = HOUSE / "lab" / "runtime"  # what runs inside a node's vLLM


def sources() -> list[Path]:
    return sorted(p for p in HOUSE.rglob("*.py") if not p.is_relative_to(FOREIGN))


def room(path: Path) -> str:
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """The names that a file imports, also within functions and for types, in their parts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used here"
            for alias in node.names:
                yield (*(node.module or "").split("."), alias.name)


def test_every_room_has_its_line() -> None:
    rooms = {room(p) for p in sources()} - {"__init__", "__main__"}
    assert rooms == {*USES}


def test_the_rooms_have_no_cycle() -> None:
    order: list[str] = []
    while left := {
        r: {u for u in used if u not in order} for r, used in USES.items() if r not in order
    }:
        free = [r for r, used in left.items() if not used]
        assert free, f"a cycle among {', '.join(left)}"
        order += free


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(HOUSE)))
def test_imports_run_one_way(path: Path) -> None:
    mine = room(path)
    if mine in ("__init__", "__main__"):
        return
    for parts in imported(path):
        if parts[0] == "sparkctl" and parts[1] != "__version__":
            assert parts[1] == mine or parts[1] in USES[mine], ".".join(parts)
        assert mine in OWNED.get(parts[0], {mine}), f"{parts[0]} is another room's"
        assert parts[0] not in ELSEWHERE or mine == "node", f"{parts[0]} is only on nodes"
        if mine == "node":
            known = parts[0] in ("sparkctl", *sys.stdlib_module_names) or parts[0] in ELSEWHERE
            assert known, f"{parts[0]} is not of the standard library"


def calls(path: Path) -> Iterator[str]:
    """The names of what a file calls, such as print, click.echo or sys.stdout.write."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(HOUSE)))
def test_only_output_prints(path: Path) -> None:
    place = str(path.relative_to(HOUSE))
    printed = re.compile(r"print|pprint|click\.s?echo\w*|(sys\.)?(stdout|stderr)\.write(lines)?")
    asked = re.compile(r"input|click\.(confirm|prompt|pause|getchar|edit)")
    found = [*calls(path)]
    if room(path) not in ("output", *PRINTS):
        assert [name for name in found if printed.fullmatch(name)] == []
    if place != PROMPTS:
        assert [name for name in found if asked.fullmatch(name)] == []

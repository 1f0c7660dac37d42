"""Every finding of a check has an explicit code, kebab-case, and unique within its check."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.doctor import checks
from sparkctl.doctor.table import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.check import Check

PACKAGE = checks.__name__
FILES = sorted(Path(checks.__file__).parent.glob("[a-z]*.py"))
MAKERS = frozenset({"fail", "warn", "info"})
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Values that have a code of their own, which the tests of where they are made pin.
CODED = {
    ("capacity", "<engine.codes.running>"),  # engines/*/engine.py
    ("devices", "<error.code>"),  # fabric/port_errors.py
    ("pairs", "<mismatch.code>"),  # fabric/selection.py
    ("settings", "<doubt.code>"),  # engines/vllm/rules.py
}
Function = tuple[str, str]  # the module's name and the function's


def made(node: ast.AST) -> Iterator[ast.Call]:
    """The calls that make a finding, also as `(warn if fits else fail)(...)`."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and MAKERS & {*_makers(call.func)}:
            yield call


def _makers(function: ast.expr) -> Iterator[str]:
    if isinstance(function, ast.IfExp):
        yield from (*_makers(function.body), *_makers(function.orelse))
    elif isinstance(function, ast.Name):
        yield function.id


def codes(call: ast.Call) -> list[str]:
    """The codes that a call may give: literals; other expressions are given as their source."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    either = [v for value in values for v in _branches(value)]
    return [_literal(v) or f"<{ast.unparse(v)}>" for v in either]


def _literal(value: ast.expr) -> str:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _branches(value: ast.expr) -> list[ast.expr]:
    return [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]


TREES = {path.stem: ast.parse(path.read_text()) for path in FILES}
FUNCTIONS: dict[Function, ast.FunctionDef] = {
    (module, node.name): node
    for module, tree in TREES.items()
    for node in tree.body
    if isinstance(node, ast.FunctionDef)
}


def imported(module: str) -> dict[str, Function]:
    """The functions of other checks' modules that a module has imported, by their name there."""
    return {
        name.asname or name.name: (node.module.rpartition(".")[2], name.name)
        for node in TREES[module].body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE + ".")
        for name in node.names
        if node.module
    }


def reachable(start: Function) -> set[Function]:
    """The functions that a check's function uses, in whichever module."""
    found, pending = set(), [start]
    while pending:
        function = pending.pop()
        if function in found or function not in FUNCTIONS:
            continue
        found.add(function)
        module, others = function[0], imported(function[0])
        nodes = list(ast.walk(FUNCTIONS[function]))
        names = {n.id for n in nodes if isinstance(n, ast.Name)}
        own = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        own |= {n.arg for n in nodes if isinstance(n, ast.arg)}
        pending += [others.get(name, (module, name)) for name in names - own]
    return found


def codes_of(check: Check) -> list[str]:
    """The codes of the findings that a check may make."""
    start = (check.run.__module__.rpartition(".")[2], check.run.__name__)
    return [c for f in sorted(reachable(start)) for call in made(FUNCTIONS[f]) for c in codes(call)]


@pytest.mark.parametrize("module", TREES)
def test_every_finding_has_an_explicit_code(module: str) -> None:
    for call in made(TREES[module]):
        found = codes(call) or ["<missing>"]
        wrong = [c for c in found if (module, c) not in CODED and not KEBAB.fullmatch(c)]
        assert wrong == [], f"{module}.py:{call.lineno}"


@pytest.mark.parametrize("module", TREES)
def test_a_finding_is_made_where_its_code_can_be_read(module: str) -> None:
    called = {id(name) for call in made(TREES[module]) for name in ast.walk(call.func)}
    names = [n for n in ast.walk(TREES[module]) if isinstance(n, ast.Name) and n.id in MAKERS]
    assert [f"{module}.py:{n.lineno}" for n in names if id(n) not in called] == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_code_names_one_finding_of_a_check(check: Check) -> None:
    assert [c for c, times in Counter(codes_of(check)).items() if times > 1] == []

"""What goes to a node is for Python 3.9: its syntax, what it calls, and what it does there."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sparkctl.node

HOUSE = Path(sparkctl.node.__file__).parent
MODULES = sorted(HOUSE.glob("*.py"))
TYPES = ("wire", "logwire")  # imported for the type checker alone
OLDEST = (3, 9)
# Keywords that came later: PEP 618 (3.10), and dataclass() in 3.10.
NEWER = {"zip": {"strict"}, "dataclass": {"slots", "kw_only", "match_args"}}
# Plans on the node, as a supervisor does, with units that came as JSON.
PLANS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from sparkctl.node.difference import difference
from sparkctl.node.unitjson import document, unit_of
from sparkctl.node.units import Absent, Unread
units = {u["id"]: unit_of(u) for u in json.load(sys.stdin)}
for unit in units.values():
    assert unit_of(document(unit)) == unit
plan = difference(units, {u: Absent(unit.node) for u, unit in units.items()})
blocked = difference(units, {u: Unread(unit.node, "x") for u, unit in units.items()})
print(json.dumps([[str(c) for c in plan.changes], len(plan.parts[0].steps), bool(blocked)]))
"""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_its_syntax_is_that_of_the_oldest_python(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=OLDEST)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            assert not NEWER.get(name, set()) & {k.arg for k in node.keywords}, ast.unparse(node)


def python() -> str:
    """The oldest Python, or this one where the machine has none."""
    pyenv = sorted((Path.home() / ".pyenv/versions").glob("3.9.*/bin/python3.9"))
    for found in (*map(str, pyenv), shutil.which("python3.9")):
        if found and not subprocess.run([found, "-c", ""], check=False).returncode:
            return found
    return sys.executable


def lone(folder: Path) -> Path:
    """The node's modules alone: the rest of sparkctl is for a newer Python."""
    (folder / "sparkctl").mkdir()
    (folder / "sparkctl/__init__.py").touch()
    shutil.copytree(HOUSE, folder / "sparkctl/node", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_every_module_is_imported_by_it(tmp_path: Path) -> None:
    program = python()
    names = [f"sparkctl.node.{p.stem}" for p in MODULES if p.stem not in ("__init__", *TYPES)]
    code = f"import importlib, sys; sys.path.insert(0, {str(lone(tmp_path))!r})\n" + "\n".join(
        f"importlib.import_module({name!r})" for name in names
    )
    done = subprocess.run(
        [program, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_plans_with_units_that_came_as_json(tmp_path: Path) -> None:
    from sparkctl.node.unitjson import document
    from tests.unit.clusterpair import desired

    units = json.dumps([document(unit) for unit in desired().units.values()])
    done = subprocess.run(
        [python(), "-I", "-c", PLANS, str(lone(tmp_path))],
        input=units,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        [
            "start Ray head on spark-1: not running",
            "start Ray worker on spark-2: not running",
            "start vLLM on spark-1: not running",
        ],
        2,
        False,
    ]

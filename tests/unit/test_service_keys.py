"""Messages name the key that the user's file has: `vllm`, or that of a service."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sparkctl
from sparkctl.doctor.logs import read_logs
from sparkctl.engines.explanation import Explanation
from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm import rules
from sparkctl.engines.vllm.environment import merge
from sparkctl.engines.vllm.failures import REMEDIES, WEDGED
from sparkctl.engines.vllm.recipe import RECIPES, choose_recipe
from sparkctl.inventory.models import Service
from tests.unit.doctorview import Answers, examined
from tests.unit.runningpair import running
from tests.unit.test_doctor_services import INVENTORY, rack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.inventory.models import Inventory

SOURCE = Path(sparkctl.__file__).parent
NAMED = re.compile(rf"\bvllm\.({'|'.join(Service.model_fields)})\b")
FULL = "[0] include/alloc.h:222 NCCL WARN Cuda failure 'out of memory'"


def texts(path: Path) -> Iterator[str]:
    """The string literals of a module, without its docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {ast.get_docstring(n, clean=False) for n in ast.walk(tree) if isinstance(n, documented)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from () if node.value in docs else [node.value]


def test_no_text_has_a_key_of_the_short_form_alone() -> None:
    found = {str(p): text for p in SOURCE.rglob("*.py") for text in texts(p) if NAMED.search(text)}
    assert found == {}
    assert not NAMED.search((SOURCE / "doctor/checks.yaml").read_text())


@pytest.mark.parametrize("key", ["vllm", "services.chat"])
def test_each_explanation_names_the_users_key(key: str) -> None:
    made = [WEDGED.text(key), *(Explanation(c, r).text(key) for c, r in REMEDIES.items())]
    assert not [text for text in made if "{" in text.replace("${FABRIC_ADDRESS}", "")]
    assert f"set {key}.port to a free port" in made
    assert bool([text for text in made if NAMED.search(text)]) == (key == "vllm")


def loaded(text: str = INVENTORY) -> Inventory:
    return parse(text.encode(), "inventory.yaml")


def test_recipes_and_doubts_name_it() -> None:
    chat, code = loaded().views
    assert "set services.chat.recipe (" in str(choose_recipe(chat.vllm, None, chat.key))
    named = code.vllm.model_copy(update={"recipe": next(iter(RECIPES))})
    assert choose_recipe(named, None, code.key).why.startswith("services.code.recipe is ")
    old = dict.fromkeys(rules.UNREAD, "1")
    doubts = rules.warnings(code, old, choose_recipe(code.vllm, None))
    assert sum("set services.code.arguments" in doubt.text for doubt in doubts) == 3
    secret = INVENTORY.replace("{gpu", "{api-key: k, gpu", 1)
    view = loaded(secret).views[0]
    assert merge(view, view.head, [])["VLLM_API_KEY"].layer == "services.chat.arguments"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (INVENTORY, "services.NAME"),
        (INVENTORY.partition("  code:")[0], "services.chat"),
        (f"{INVENTORY.partition('services:')[0]}vllm: {{model: /m}}\n", "vllm"),
    ],
)
def test_a_log_of_nobody_knows_which_service_names_it_in_general(
    text: str, expected: str, tmp_path: Path
) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(f"node:100:100 {FULL}\n")
    (found,) = read_logs([str(log)]).at(loaded(text).key).findings
    assert found.code == "gpu-memory"
    assert found.fix.text.startswith(f"lower {expected}.arguments gpu-memory-utilization")


@pytest.mark.parametrize(
    ("answers", "key"), [(rack(), "services.chat"), (running(), "vllm")], ids=["services", "short"]
)
def test_the_doctor_names_it(answers: Answers, key: str) -> None:
    generation = answers.looks["generation"]["spark-1"]
    del generation["tokens"], generation["seconds"]
    generation.update(health={"state": "unclear"}, error="no completion")
    (remedy,) = (f.fix.text for f in examined(answers) if f.code == "unclear" and f.fix)
    assert remedy.startswith(f"drop disable-log-stats from {key}.arguments, ")

"""Which recipe a model gets: by its architecture, unless the inventory names one."""

from __future__ import annotations

import pytest

from sparkctl.engines.choice import REMOTE_CODE, Choice
from sparkctl.engines.vllm.recipe import BACKEND, BASE, MINIMAX_M2, RECIPES, choose_recipe
from sparkctl.inventory.models import Vllm
from tests.unit.answers import config_json
from tests.unit.test_inventory import GOOD, details

MINIMAX = ["MiniMaxM2ForCausalLM"]
PATH, HUB = "/models/m", "MiniMaxAI/MiniMax-M2"


def chosen(model: str, recipe: str, architectures: list[str] | None) -> Choice:
    error = None if architectures else "it is not in the hub cache /c"
    found = config_json(*(architectures or ()), error=error)
    return choose_recipe(Vllm(model=model, recipe=recipe), found)


@pytest.mark.parametrize(
    ("recipe", "architectures", "name"),
    [
        ("auto", MINIMAX, "minimax-m2"),
        ("auto", ["Draft", *MINIMAX], "minimax-m2"),
        ("auto", ["Qwen3ForCausalLM"], None),
        ("auto", None, None),
        ("none", MINIMAX, None),
        ("minimax-m2", ["Qwen3ForCausalLM"], "minimax-m2"),
        ("minimax-m2", None, "minimax-m2"),
    ],
)
def test_the_choice(recipe: str, architectures: list[str] | None, name: str | None) -> None:
    choice = chosen(PATH, recipe, architectures)
    assert choice.name == name
    own = MINIMAX_M2.arguments if name else {}
    assert choice.defaults == {BACKEND: "ray", **BASE, **own}
    assert choice.unknown is (recipe == "auto" and architectures is None)


@pytest.mark.parametrize(
    ("recipe", "architectures", "text"),
    [
        ("auto", MINIMAX, "recipe minimax-m2: /models/m/config.json names MiniMaxM2ForCausalLM"),
        ("auto", ["A", "B"], "no recipe: none is known for A, B (/models/m/config.json)"),
        (
            "auto",
            None,
            "no recipe: it is not in the hub cache /c; set vllm.recipe (minimax-m2 or none)",
        ),
        ("none", MINIMAX, "no recipe: vllm.recipe is none"),
    ],
)
def test_the_reason_is_shown(recipe: str, architectures: list[str] | None, text: str) -> None:
    # The text is the subject: `plan` shows it, and no program reads it.
    assert str(chosen(PATH, recipe, architectures)) == text


@pytest.mark.parametrize("recipe", ["auto", "minimax-m2"])
def test_code_from_the_hub_is_never_run_by_default(recipe: str) -> None:
    choice = chosen(HUB, recipe, MINIMAX)
    assert choice.name == "minimax-m2"
    allowed = {k: v for k, v in MINIMAX_M2.arguments.items() if k != REMOTE_CODE}
    assert choice.defaults == {BACKEND: "ray", **BASE, **allowed}
    assert REMOTE_CODE in choice.why


def test_no_recipe_changes_the_arguments_that_are_read_without_a_node() -> None:
    assert [name for name, r in RECIPES.items() if {BACKEND, *BASE} & r.arguments.keys()] == []


def test_a_nodes_answer_cannot_move_the_cursor() -> None:
    assert "\x1b" not in str(choose_recipe(Vllm(model=PATH), config_json(error="\x1b[2J")))


@pytest.mark.parametrize(
    ("line", "path", "code"),
    [
        ("recipe: minimax-m3", "vllm.recipe", "unknown-recipe"),
        ("arguments: {port: 1}", "vllm.arguments.port", "own-key"),
        ("arguments: {middleware: []}", "vllm.arguments.middleware", "empty-list"),
    ],
)
def test_problems_of_recipe_and_arguments(line: str, path: str, code: str) -> None:
    (found,) = details(f"{GOOD}  {line}\n")
    assert (found.path, found.code) == (path, code)

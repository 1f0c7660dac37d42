"""Which recipe a model gets: by its architecture, unless the inventory names one."""

from __future__ import annotations

import pytest

from sparkctl.inventory.models import Vllm
from sparkctl.serving.recipe import BASE, MINIMAX_M2, RECIPES, REMOTE_CODE, Choice, choose_recipe
from tests.unit.answers import config_json

MINIMAX = ["MiniMaxM2ForCausalLM"]
PATH, HUB = "/models/m", "MiniMaxAI/MiniMax-M2"


def chosen(model: str, recipe: str, architectures: list[str] | None) -> Choice:
    error = None if architectures else "it is not in the hub cache /c"
    found = config_json(*(architectures or ()), error=error)
    return choose_recipe(Vllm(model=model, recipe=recipe), found)


@pytest.mark.parametrize(
    ("recipe", "architectures", "said"),
    [
        ("auto", MINIMAX, "recipe minimax-m2: /models/m/config.json names MiniMaxM2ForCausalLM"),
        ("auto", ["Draft", *MINIMAX],
         "recipe minimax-m2: /models/m/config.json names Draft, MiniMaxM2ForCausalLM"),
        ("auto", ["Qwen3ForCausalLM"],
         "no recipe: none is known for Qwen3ForCausalLM (/models/m/config.json)"),
        ("auto", None,
         "no recipe: it is not in the hub cache /c; set vllm.recipe (minimax-m2 or none)"),
        ("none", MINIMAX, "no recipe: vllm.recipe is none"),
        ("minimax-m2", ["Qwen3ForCausalLM"], "recipe minimax-m2: vllm.recipe is minimax-m2"),
        ("minimax-m2", None, "recipe minimax-m2: vllm.recipe is minimax-m2"),
    ],
)  # fmt: skip
def test_the_choice_and_why(recipe: str, architectures: list[str] | None, said: str) -> None:
    choice = chosen(PATH, recipe, architectures)
    assert str(choice) == said
    own = MINIMAX_M2.arguments if choice.name else {}
    assert choice.defaults == {**BASE, **own}
    assert choice.unknown is (recipe == "auto" and architectures is None)


@pytest.mark.parametrize("recipe", ["auto", "minimax-m2"])
def test_code_from_the_hub_is_never_run_by_default(recipe: str) -> None:
    choice = chosen(HUB, recipe, MINIMAX)
    assert choice.name == "minimax-m2"
    assert choice.defaults == {
        **BASE, **{k: v for k, v in MINIMAX_M2.arguments.items() if k != REMOTE_CODE},
    }  # fmt: skip
    assert "without trust-remote-code" in choice.why


def test_no_recipe_changes_what_is_read_without_a_node() -> None:
    assert [name for name, r in RECIPES.items() if BASE.keys() & r.arguments.keys()] == []


def test_what_a_node_says_cannot_move_the_cursor() -> None:
    assert "\x1b" not in str(choose_recipe(Vllm(model=PATH), config_json(error="\x1b[2J")))

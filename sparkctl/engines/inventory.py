"""The inventory, checked also by the rules of Ray and vLLM."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sparkctl.engines.vllm import secretarguments, tls
from sparkctl.engines.vllm.arguments import FIELDS, problem
from sparkctl.engines.vllm.recipe import AUTO, NONE, RECIPES
from sparkctl.engines.vllm.secretarguments import API_KEY, NO_HEADER, fits_a_header
from sparkctl.inventory import loader
from sparkctl.inventory.paths import Path as Place
from sparkctl.inventory.paths import Problem, quoted, short
from sparkctl.secret.value import revealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sparkctl.inventory.models import Inventory


def load(path: Path) -> Inventory:
    """The inventory in a file; raises InventoryError with every problem."""
    return loader.load(path, RULES)


def parse(data: bytes, name: str) -> Inventory:
    """The inventory in `data`, `name` in messages; raises InventoryError with every problem."""
    return loader.parse(data, name, RULES)


def _recipe(inventory: Inventory) -> Iterator[Problem]:
    recipe = inventory.vllm.recipe
    if recipe and recipe not in (AUTO, NONE, *RECIPES):
        expected = f"auto, none or a recipe ({', '.join(RECIPES)})"
        near = difflib.get_close_matches(short(recipe), (AUTO, NONE, *RECIPES), 1, 0.6)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        text = f"expected {expected}, got {quoted(recipe)}{hint}"
        yield Problem(("vllm", "recipe"), text, code="unknown-recipe")


def _arguments(inventory: Inventory) -> Iterator[Problem]:
    arguments = inventory.vllm.arguments or {}
    for name, value in arguments.items():
        if name in FIELDS:
            text = f"set {FIELDS[name]} instead of this flag"
            yield problem("own-key", name, text, at_key=True)
        if value == []:
            yield problem("empty-list", name, "empty list; write null to drop the flag")
    yield from secretarguments.problems(arguments)
    yield from tls.problems(arguments)


def _api_keys(inventory: Inventory) -> Iterator[Problem]:
    yield from _api_key(("env", "set"), inventory.env.set)
    for index, node in enumerate(inventory.nodes or []):
        yield from _api_key(("nodes", index, "env"), node.env)


def _api_key(place: Place, values: Mapping[str, str] | None) -> Iterator[Problem]:
    key = (values or {}).get(API_KEY)
    if key is not None and not fits_a_header(revealed(key)):
        yield Problem((*place, API_KEY), NO_HEADER, code="unsendable-key")


RULES = (_recipe, _arguments, _api_keys)

"""The user's inventory, checked by the rules of what serves as well as by its own."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sparkctl.inventory import loader
from sparkctl.inventory.paths import Path as Place
from sparkctl.inventory.paths import Problem, short
from sparkctl.secret.value import revealed
from sparkctl.serving import secretarguments, tls
from sparkctl.serving.arguments import FIELDS
from sparkctl.serving.recipe import AUTO, NONE, RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sparkctl.inventory.models import Inventory


def load(path: Path) -> Inventory:
    """As inventory/loader.py's."""
    return loader.load(path, RULES)


def parse(data: bytes, name: str) -> Inventory:
    """As inventory/loader.py's."""
    return loader.parse(data, name, RULES)


def _recipe(inventory: Inventory) -> Iterator[Problem]:
    recipe = inventory.vllm.recipe
    if recipe and recipe not in (AUTO, NONE, *RECIPES):
        expected = f"auto, none or a recipe ({', '.join(RECIPES)})"
        near = difflib.get_close_matches(short(recipe), (AUTO, NONE, *RECIPES), 1, 0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield Problem(("vllm", "recipe"), f"expected {expected}, got {short(repr(recipe))}{hint}")


def _arguments(inventory: Inventory) -> Iterator[Problem]:
    known = inventory.vllm.arguments or {}
    for name, value in known.items():
        path = ("vllm", "arguments", name)
        if name in FIELDS:
            said = f"wanted {FIELDS[name]} for this flag, found it here"
            yield Problem(path, said, at_key=True)
        if value == []:
            yield Problem(path, "wanted null to drop the flag, found an empty list")
    for name, said in (*secretarguments.problems(known), *tls.problems(known)):
        yield Problem(("vllm", "arguments", name), said)


def _api_keys(inventory: Inventory) -> Iterator[Problem]:
    yield from _api_key(("env", "set"), inventory.env.set)
    for index, node in enumerate(inventory.nodes or []):
        yield from _api_key(("nodes", index, "env"), node.env)


def _api_key(place: Place, values: Mapping[str, str] | None) -> Iterator[Problem]:
    key = (values or {}).get(secretarguments.API_KEY)
    if key is not None and not secretarguments.fits_a_header(revealed(key)):
        yield Problem((*place, secretarguments.API_KEY), secretarguments.NO_HEADER)


RULES = (_recipe, _arguments, _api_keys)

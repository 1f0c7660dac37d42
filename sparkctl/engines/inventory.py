"""The inventory, checked also by the rules of Ray and the engines."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sparkctl.engines.choice import AUTO, NONE
from sparkctl.engines.table import ENGINES
from sparkctl.engines.vllm.arguments import problem
from sparkctl.engines.vllm.placement import EVEN, even_share, rank_count
from sparkctl.engines.vllm.recipe import RECIPES
from sparkctl.engines.vllm.secretarguments import API_KEY, NO_HEADER, fits_a_header
from sparkctl.inventory import loader
from sparkctl.inventory.models import SHORT, Service
from sparkctl.inventory.paths import Path as Place
from sparkctl.inventory.paths import Problem, quoted, short
from sparkctl.inventory.services import parts
from sparkctl.runtimes import container
from sparkctl.runtimes.table import RUNTIMES
from sparkctl.secret.value import revealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sparkctl.inventory.models import Inventory, Runtime, Vllm


def load(path: Path) -> Inventory:
    """The inventory in a file; raises InventoryError with every problem."""
    return _filled(loader.load(path, RULES))


def parse(data: bytes, name: str) -> Inventory:
    """The inventory in `data`, `name` in messages; raises InventoryError with every problem."""
    return _filled(loader.parse(data, name, RULES))


def _filled(inventory: Inventory) -> Inventory:
    """With its engine's first executor for each service that names none."""
    filled = {
        name: service.model_copy(update={"executor": ENGINES[service.engine].executors[0]})
        for name, service in inventory.services.items()
        if "executor" not in service.model_fields_set
    }
    services = {**inventory.services, **filled}
    return inventory.model_copy(update={"services": services}) if filled else inventory


def _settings(inventory: Inventory) -> Iterator[Problem]:
    """The problems of each service's own settings, at their place in the file."""
    for path, settings, _ in parts(inventory):
        for found in (*_engine(settings), *_recipe(settings), *_arguments(path, settings)):
            yield found._replace(path=(*path, *found.path))


def _engine(settings: Vllm) -> Iterator[Problem]:
    name = settings.engine if isinstance(settings, Service) else SHORT
    if name is None:
        return
    engine = ENGINES.get(name)
    if engine is None:
        yield _unknown("engine", name, "an engine", ENGINES)
    elif (
        "executor" in settings.model_fields_set
        and settings.executor
        and settings.executor not in engine.executors
    ):
        what = f"an executor of {name}"
        yield _unknown("executor", settings.executor, what, engine.executors)


def _runtime(inventory: Inventory) -> Iterator[Problem]:
    if inventory.runtime is not None:
        yield from _runtime_at(("runtime",), inventory.runtime)
    for name, service in (inventory.services or {}).items():
        if service.runtime is not None:
            yield from _runtime_at(("services", name, "runtime"), service.runtime)


def _runtime_at(path: Place, runtime: Runtime) -> Iterator[Problem]:
    kind, given = runtime.kind, runtime.model_fields_set
    if kind and kind not in RUNTIMES:
        found = _unknown("kind", kind, "a runtime", RUNTIMES)
        yield found._replace(path=(*path, "kind"), code="unknown-runtime")
    if {"venv", "image"} <= given:
        text = "image conflicts with venv; write one of the two"
        yield Problem((*path, "image"), text, at_key=True, code="keys-conflict")
    elif kind == "venv" and "image" in given:
        text = "kind venv conflicts with image; remove one of the two"
        yield Problem((*path, "kind"), text, code="keys-conflict")
    elif kind == "container" and "image" not in given:
        yield Problem((*path, "kind"), "kind container needs image", code="missing-image")
    elif "image" not in given:
        for key in sorted(given & {"tool", "mounts", "flags"}):
            text = f"{key} is for containers; it needs image"
            yield Problem((*path, key), text, at_key=True, code="missing-image")
    for flag, value in (runtime.flags or {}).items():
        if text := container.refusal(flag, value):
            yield Problem((*path, "flags", flag), text, at_key=True, code="own-flag")


def _recipe(settings: Vllm) -> Iterator[Problem]:
    recipe = settings.recipe
    if recipe and recipe not in (AUTO, NONE, *RECIPES):
        yield _unknown("recipe", recipe, "a recipe", RECIPES, also=(AUTO, NONE))


def _ranks(inventory: Inventory) -> Iterator[Problem]:
    """The ranks that do not divide over a service's nodes, as its executor requires."""
    for path, settings, nodes in parts(inventory):
        engine = ENGINES.get(settings.engine if isinstance(settings, Service) else SHORT)
        given = "executor" in settings.model_fields_set
        executor = settings.executor if given or not engine else engine.executors[0]
        if not (nodes and settings.tensor_parallel_size and inventory.ray.num_gpus):
            continue
        count, gpus = rank_count(settings), inventory.gpus_of(nodes[0])
        fits = count <= gpus * len(nodes)
        if executor == EVEN and fits and not even_share(count, gpus, len(nodes)):
            text = (
                f"executor {EVEN} has the same number of ranks on each node; {count} ranks do not"
                f" divide over {len(nodes)} nodes with {gpus} GPUs each"
            )
            yield Problem((*path, "tensor_parallel_size"), text, code="uneven-ranks")


def _unknown(
    key: str, value: str, what: str, names: Iterable[str], *, also: tuple[str, ...] = ()
) -> Problem:
    """The problem of a value that is none of `names`, nor of what `also` has a meaning."""
    expected = f"{' or '.join([', '.join(also)] * bool(also) + [what])} ({', '.join(names)})"
    near = difflib.get_close_matches(short(value), (*also, *names), 1, 0.6)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return Problem((key,), f"expected {expected}, got {quoted(value)}{hint}", code=f"unknown-{key}")


def _arguments(path: Place, settings: Vllm) -> Iterator[Problem]:
    arguments = settings.arguments or {}
    for name, value in arguments.items():
        if value == []:
            yield problem("empty-list", name, "empty list; write null to drop the flag")
    engine = ENGINES.get(settings.engine if isinstance(settings, Service) else SHORT)
    if engine is not None:
        row = engine.over.get(settings.executor, engine)
        yield from row.problems(path, arguments)


def _api_keys(inventory: Inventory) -> Iterator[Problem]:
    yield from _api_key(("env", "set"), inventory.env.set)
    for index, node in enumerate(inventory.nodes or []):
        yield from _api_key(("nodes", index, "env"), node.env)


def _api_key(place: Place, values: Mapping[str, str] | None) -> Iterator[Problem]:
    key = (values or {}).get(API_KEY)
    if key is not None and not fits_a_header(revealed(key)):
        yield Problem((*place, API_KEY), NO_HEADER, code="unsendable-key")


RULES = (_settings, _ranks, _runtime, _api_keys)

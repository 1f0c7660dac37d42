"""The argv of Ray and vLLM; pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sparkctl.engines.vllm.secretarguments import by_environment
from sparkctl.node import modelpath
from sparkctl.runtimes.table import path
from sparkctl.secret.value import Secret, protected_text, revealed, text_of

if TYPE_CHECKING:
    from sparkctl.engines.choice import Choice
    from sparkctl.inventory.models import Argument, Inventory


def vllm_argv(inventory: Inventory, recipe: Choice, home: str) -> tuple[str, ...]:
    """`vllm serve …` for the head: the inventory's fields, then the arguments over the defaults.

    `home` replaces ~ in `model`. A part with a secret in it is a Secret; the API key and the
    hub's token go by environment.
    """
    vllm = inventory.vllm
    argv = [path(inventory, "vllm"), "serve", modelpath.expanded(vllm.model, home)]
    argv += ["--host", vllm.host, "--port", str(vllm.port)]
    if vllm.served_model_name:
        argv += ["--served-model-name", vllm.served_model_name]
    argv += ["--tensor-parallel-size", str(vllm.tensor_parallel_size)]
    for name, value in {**recipe.defaults, **vllm.arguments}.items():
        if not by_environment(name, value):
            argv += flag(name, value)
    return tuple(protected_text(part) for part in argv)


def flag(name: str, value: Argument) -> list[str]:
    """One flag: null and false drop it, true is bare, a list is several values, a mapping JSON."""
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{name}"]
    if isinstance(value, list):
        return [f"--{name}", *(text_of(v) for v in value)]
    if isinstance(value, dict):
        text, shown = (json.dumps(v, separators=(",", ":")) for v in (revealed(value), value))
        return [f"--{name}", text if text == shown else Secret(text, shown)]
    return [f"--{name}", text_of(value)]


def ray_head_argv(inventory: Inventory, address: str, temp_dir: str) -> tuple[str, ...]:
    """`ray start --head` on the head's fabric address (Ray 2.60)."""
    ray = inventory.ray
    argv = ["--head", "--port", str(ray.port), "--dashboard-port", str(ray.dashboard_port)]
    argv += ["--temp-dir", temp_dir]
    return _ray(inventory, address, argv)


def ray_worker_argv(inventory: Inventory, address: str, head_address: str) -> tuple[str, ...]:
    """`ray start --address`; Ray takes the temporary directory from the head."""
    return _ray(inventory, address, ["--address", f"{head_address}:{inventory.ray.port}"])


def _ray(inventory: Inventory, address: str, role: list[str]) -> tuple[str, ...]:
    ray = inventory.ray
    argv = [path(inventory, "ray"), "start", *role]
    argv += ["--node-ip-address", address, "--disable-usage-stats"]
    for flag, value in (
        ("--node-manager-port", ray.node_manager_port),
        ("--object-manager-port", ray.object_manager_port),
        ("--min-worker-port", ray.min_worker_port),
        ("--max-worker-port", ray.max_worker_port),
        ("--object-store-memory", ray.object_store_memory),
        ("--num-gpus", None if ray.num_gpus == "auto" else ray.num_gpus),
    ):
        if value is not None:
            argv += [flag, str(value)]
    return tuple(argv)

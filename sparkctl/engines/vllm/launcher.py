"""`vllm serve` under any executor: its kind, its model, what makes it ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm.tls import local_base
from sparkctl.node import modelpath
from sparkctl.node.units import Generates, LogStages
from sparkctl.secret.value import protected_text

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

SERVE = "vllm"  # the kind of its units
GRACE = 10.0  # seconds that it gets to end on TERM


def model(inventory: Inventory, home: str) -> str:
    """The model's name in the API: served_model_name, else what `vllm serve` is given.

    A password in a URL is a Secret, as the name is recorded on the nodes.
    """
    vllm = inventory.vllm
    return protected_text(vllm.served_model_name or modelpath.expanded(vllm.model, home))


def stages(inventory: Inventory) -> LogStages:
    """The log's stages, by which a start is followed."""
    return LogStages("vllm", inventory.vllm.stall_timeout)


def generates(inventory: Inventory, home: str) -> Generates:
    """A completion, on the head itself."""
    return Generates(local_base(inventory.vllm), model(inventory, home))


def own_environment(_inventory: Inventory, _home: str, temp_dir: str) -> dict[str, str]:
    """What sparkctl itself needs of every process, over every layer."""
    return {
        # Sockets and scratch files of vLLM and torch then go with the cluster.
        "TMPDIR": f"{temp_dir}/tmp",
        # setproctitle of Ray, vLLM and SGLang would else write over the mark in their environ.
        "SPT_NOENV": "1",
    }

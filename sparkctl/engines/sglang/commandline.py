"""The argv of SGLang, for each rank's node; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm.commandline import flag
from sparkctl.node import modelpath
from sparkctl.runtimes.table import path
from sparkctl.secret.value import protected_text

if TYPE_CHECKING:
    from sparkctl.engines.choice import Choice
    from sparkctl.inventory.models import View

MEET = 25000  # the head's port where the ranks meet


def sglang_argv(
    inventory: View, recipe: Choice, home: str, *, address: str, rank: int, nodes: int
) -> tuple[str, ...]:
    """`sglang serve …` for the node of this number: only --node-rank differs between nodes.

    `address` is the head's on the fabric, `home` replaces ~ in the model. A part with a secret in
    it is a Secret. Flags: SGLang 0.5.23.
    """
    service = inventory.vllm
    argv = [path(inventory, "sglang"), "serve"]
    argv += ["--model-path", modelpath.expanded(service.model, home)]
    argv += ["--host", service.host, "--port", str(service.port)]
    if service.served_model_name:
        argv += ["--served-model-name", service.served_model_name]
    argv += ["--tp", str(service.tensor_parallel_size)]
    if nodes > 1:
        argv += ["--nnodes", str(nodes), "--node-rank", str(rank)]
        argv += ["--dist-init-addr", f"{address}:{MEET}"]
    for name, value in {**recipe.defaults, **service.arguments}.items():
        argv += flag(name, value)
    return tuple(protected_text(part) for part in argv)

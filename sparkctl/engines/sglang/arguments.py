"""SGLang's arguments in the inventory that sparkctl sets itself, or cannot pass; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm.arguments import problem
from sparkctl.inventory.paths import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.inventory.models import Argument
    from sparkctl.inventory.paths import Path, Problem

# Flags that have a key of their own in the inventory; `arguments` may not repeat them.
FIELDS = {
    "model": "model",
    "model-path": "model",
    "host": "host",
    "port": "port",
    "served-model-name": "served_model_name",
    "tensor-parallel-size": "tensor_parallel_size",
    "tp-size": "tensor_parallel_size",
    "tp": "tensor_parallel_size",
}
# Flags that follow from the nodes.
OWN = ("nnodes", "node-rank", "dist-init-addr", "nccl-init-addr")
# SGLang takes these by its command line or a --config file alone (0.5.23, read).
SECRETS = ("api-key", "admin-api-key", "ssl-keyfile-password")


def problems(path: Path, arguments: Mapping[str, Argument]) -> Iterator[Problem]:
    """The arguments that cannot be passed; `path` is the service's."""
    for name in arguments:
        if name in FIELDS:
            text = f"set {dotted((*path, FIELDS[name]))} instead of this flag"
            yield problem("own-key", name, text, at_key=True)
        elif name in OWN:
            yield problem("own-flag", name, "sparkctl sets this flag on each node", at_key=True)
        elif full := next((s for s in SECRETS if _means(name, s)), None):
            text = (
                f"every user of the node can read {full} in SGLang's command line, and SGLang has"
                " no variable for it; let a proxy in front of the API ask for a key"
            )
            yield problem("readable-secret", name, text, at_key=True)


def _means(name: str, full: str) -> bool:
    """Whether argparse takes a name for this flag: api-k, and not api."""
    return full.startswith(name) and len(name) > full.index("-") + 1

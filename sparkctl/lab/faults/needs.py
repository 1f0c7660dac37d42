"""What must be there before a fault can be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab.faults.inventory import load
from sparkctl.lab.model import INSTALLER

if TYPE_CHECKING:
    from sparkctl.lab.faults.fault import Need
    from sparkctl.lab.faults.target import Target


def runtime(target: Target) -> str:
    """The virtual environment with ray and vLLM, by its path on the nodes."""
    path: str = load(target.lab)["runtime"]["venv"]
    return path


def require(need: Need, target: Target) -> None:
    """Raises SparkctlError, with how to get it, when it is missing on the node."""
    if need == "nothing":
        return
    wanted, test, hint = {
        "runtime": (
            f"the lab's runtime at {runtime(target)}",
            ["test", "-x", f"{runtime(target)}/bin/ray"],
            f"make it: bash {INSTALLER} {runtime(target)}",
        ),
        "model": (
            f"the lab's model at {target.lab.base}/model",
            ["test", "-e", f"{target.lab.base}/model/config.json"],
            "make the lab without --no-model",
        ),
        "serving": (
            "a cluster that serves",
            ["pgrep", "-f", "/raylet |^VLLM::EngineCore"],
            f"`sparkctl up -i {target.lab.inventory}` first",
        ),
    }[need]
    try:
        target.run(*test)
    except SparkctlError:
        raise SparkctlError(
            f"{target.fault} needs {wanted}, there is none", node=target.node.name, hint=hint
        ) from None

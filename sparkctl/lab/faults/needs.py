"""What a fault needs on a node before it can be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab.faults.inventory import load
from sparkctl.lab.model import install_hint

if TYPE_CHECKING:
    from sparkctl.lab.faults.fault import Need
    from sparkctl.lab.faults.target import Target


def runtime(target: Target) -> str:
    """The path of the virtual environment with ray and vLLM on the nodes."""
    return load(target.lab)["runtime"]["venv"]


def missing(target: Target, what: str, hint: str) -> SparkctlError:
    """The error of a fault that cannot be injected for want of something on the node."""
    return SparkctlError(
        f"cannot inject fault {target.fault}: {what}",
        node=target.node.name,
        hint=hint,
        code="fault-need-missing",
    )


def serving_hint(target: Target) -> str:
    """How to start a cluster in the lab."""
    return f"run `sparkctl up -i {target.lab.inventory}` first"


def require(need: Need, target: Target) -> None:
    """Raises SparkctlError when the node does not have what the fault needs."""
    if need == "nothing":
        return
    venv, model = runtime(target), f"{target.lab.base}/model"
    test, what, hint = {
        "runtime": (
            ("test", "-x", f"{venv}/bin/ray"),
            f"the lab has no runtime at {venv}",
            install_hint(venv),
        ),
        "model": (
            ("test", "-e", f"{model}/config.json"),
            f"the lab has no model at {model}",
            "make the lab without --no-model",
        ),
        "serving": (
            ("pgrep", "-f", "/raylet |^VLLM::EngineCore"),
            "no cluster is serving",
            serving_hint(target),
        ),
    }[need]
    try:
        target.run(*test)
    except SparkctlError:
        raise missing(target, what, hint) from None

"""Runs a program in a container, and says why the container engine could not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node import jsontext, transient
from sparkctl.node.subprocesses import LONGEST

if TYPE_CHECKING:
    from sparkctl.node.boxwire import BoxLook
    from sparkctl.node.subprocesses import Ended
    from sparkctl.node.wire import Answer

# What the engines print when a container cannot have the GPU (docker 20.10 to 29, podman 4 and 5,
# NVIDIA's container toolkit), and why.
PROBLEMS = (
    ("could not select device driver", "no-toolkit"),
    ("unknown or invalid runtime name: nvidia", "no-toolkit"),
    ("failed to discover gpu vendor", "no-toolkit"),
    ("unresolvable cdi devices", "no-cdi"),
    ("stat nvidia.com/gpu", "no-cdi"),
    ("driver not loaded", "unloaded"),
    ("load library failed: libnvidia-ml", "unloaded"),
)


def look(request: BoxLook) -> Answer:
    """`inside`: the JSON that the program printed; or null, with the `problem` and the `reason`."""
    try:
        ended = transient.run(
            request["argv"], request["stdin"], request["seconds"], request["container"]
        )
    except OSError as error:
        return {"problem": "failed", "reason": str(error), "inside": None}
    if ended.status:
        problem, reason = _why(ended)
        return {"problem": problem, "reason": reason[:LONGEST], "inside": None}
    try:
        return {"problem": "", "reason": "", "inside": jsontext.load(ended.out)}
    except ValueError:
        reason = f"the container printed no JSON: {ended.out[:200]!r}"
        return {"problem": "failed", "reason": reason, "inside": None}


def _why(ended: Ended) -> tuple[str, str]:
    """The problem, and the line that says it."""
    for line in ended.err.splitlines():
        for text, problem in PROBLEMS:
            if text in line.lower():
                return problem, line.strip()
    return "failed", ended.last

"""The healthy pair of doctorview.py with its service in containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.answers import IMAGE, container, engine, engines
from tests.unit.doctorview import INVENTORY, healthy

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

REFERENCE = "own/vllm:1"
BOXED = INVENTORY.replace("{venv: /opt/vllm}", f"{{image: '{REFERENCE}'}}")
UNIT = "vllm/0/container/{}"


def boxed(inventory: str = BOXED) -> Answers:
    """docker on both nodes, with the image; a container of it starts."""
    answers = healthy(inventory)
    for facts in answers.facts.values():
        image = {"id": IMAGE, "digests": [], "architecture": "amd64", "size": 20 * 2**30}
        absent = engine(problem="absent", reason="podman: No such file", version=None, image=None)
        facts["containers"] = engines(docker=engine(image=image), podman=absent)
        runtime = {k: v for k, v in facts["runtime"].items() if k != "venv"}
        libraries = {"path": "/usr/lib/libibverbs.so.1", "providers": ["mlx5"]}
        facts["runtime"] = {
            **runtime,
            "image": REFERENCE,
            "id": IMAGE,
            "real": "/usr",
            "libibverbs": libraries,
        }
    answers.looks["inside"] = {
        name: {"problem": "", "reason": "", "inside": inside(facts)}
        for name, facts in answers.facts.items()
    }
    return answers


def inside(facts: dict[str, Any]) -> dict[str, Any]:
    """What a process in the container has: the GPU and the host's RDMA."""
    return {
        "gpus": ["GPU 0: NVIDIA GB10 (UUID: GPU-1)"],
        "gpu_error": None,
        "gpu_problem": None,
        "devices": ["nvidia0"],
        "verbs": facts["verbs"],
        "memlock": -1,
        "capabilities": 0,
    }


def own(name: str, **values: Any) -> dict[str, Any]:
    """The service's container on a node."""
    unit = UNIT.format(name)
    labels = {"cluster": "lab", "unit": unit, "user": "0"}
    return container(f"sparkctl.lab.{unit.replace('/', '.')}", **{"gpu": True, **labels, **values})

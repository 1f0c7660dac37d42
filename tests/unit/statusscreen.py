"""Prints a status of fixed data at a fixed time: `python -m tests.unit.statusscreen NAME`."""

from __future__ import annotations

import sys
from typing import Any

from sparkctl.errors import ConnectError
from sparkctl.facts.answers import Completion
from sparkctl.facts.groups import Holder
from sparkctl.operations.servicestatus import ApiAnswer, ServiceStatus
from sparkctl.operations.status import NodeStatus, Running, Status
from sparkctl.operations.unitstatus import PENDING, UnitStatus
from sparkctl.output.status import print_status

NOW = 1_795_312_800.0  # 2026-11-22 02:00:00 UTC
LONG = "spark-" + "x" * 24 + "9"  # the longest name that an inventory may have
MODEL = "/srv/models/Qwen/Qwen3-235B-A22B-Instruct-2507-AWQ"
WHO = "anna@laptop (pid 4711)"
RUN = "20261122-014800-1a2b"


def node(number: int, name: str = "", **values: Any) -> NodeStatus:
    """A node that serves, for 12 min."""
    found = NodeStatus(
        name or f"spark-{number}",
        "head" if number == 1 else "worker",
        f"192.0.2.{10 + number}",
        service="vllm",
        fabric_address=f"192.168.100.{10 + number}",
        ray="alive",
        ranks=1,
        gpu="NVIDIA GB10",
        memory_available=int((9.25 + number) * 2**30),
        processes=[Running(100, "ray", NOW - 725, RUN, "raylet")],
    )
    for key, value in values.items():
        setattr(found, key, value)
    return found


def unit(name: str, title: str, **values: Any) -> UnitStatus:
    """A unit that is ready, by its id."""
    service, _, kind, where = name.split("/")
    given = {"state": "ready", "run": RUN, "who": WHO, "since": NOW - 725, "pids": (100, 101, 102)}
    return UnitStatus(name, service, where, kind, title, **{**given, **values})


def served(name: str = "vllm", host: str = "192.0.2.11", **values: Any) -> ServiceStatus:
    """A service whose API answers."""
    answer = Completion(version="0.15.1", models=(values.get("model", "/models/m2"),))
    api = ApiAnswer(answer, since=NOW - 680)
    given = {"model": "/models/m2", "state": "ready", "api": api, "engine": "vLLM", **values}
    return ServiceStatus(name, endpoint=f"http://{host}:30000/v1", **given)


def pair(service: ServiceStatus, *nodes: NodeStatus, **values: Any) -> Status:
    """A cluster with these nodes."""
    units = [unit(f"{n.service}/0/ray/{n.name}", "Ray", ranks=1) for n in nodes]
    head = unit(f"{nodes[0].service}/0/vllm/{nodes[0].name}", "vLLM")
    return Status(
        "lab", list(nodes), [], units=[*units, head], services={"vllm": service}, **values
    )


def healthy() -> Status:
    """Two nodes that serve."""
    found = pair(served(), node(1), node(2))
    found.imitated = [
        "nodes: network, mount, pid, uts and ipc namespaces of one Linux machine",
        "ConnectX-7: its sysfs and uverbs devices; its cable is a veth pair",
        "GPU: vLLM's CPU build runs on one logical GPU per node",
    ]
    return found


def starting() -> Status:
    """A start under way, which another command watches."""
    start = unit(
        "vllm/0/vllm/spark-1",
        "vLLM",
        state="starting",
        since=NOW - 221,
        stage="loading",
        percent=42,
        doing="loading the model 42 %",
    )
    service = served(
        state="starting", model=MODEL, start=start, api=ApiAnswer(error="starting", code="starting")
    )
    lease = Holder(who=WHO, when="2026-11-22 01:55:12 +0000", why="up", expires_in=25.0)
    found = pair(service, node(1), node(2, ranks=0), lease=lease)
    found.units[-1] = start
    return found


def unreachable() -> Status:
    """One of two nodes with long names does not answer."""
    long = LONG.replace("9", "8")
    lost = ConnectError(f"cannot connect to {LONG}.cluster.example.com:22: timed out after 10 s")
    away = {"error": lost, "reached": False, "ray": "unknown", "ranks": None}
    away |= {"memory_available": None, "gpu": None, "processes": []}
    service = served(host=f"{long}.cluster.example.com", state="unread")
    found = pair(service, node(1, long), node(2, LONG, **away))
    found.units[1] = unit(
        f"vllm/0/ray/{LONG}", "Ray", state="unread", why=lost.message, since=None, pids=()
    )
    return found


def eight() -> Status:
    """Two services on eight nodes, one of which was added to the inventory."""
    nodes = [node(n, service="chat" if n < 5 else "code") for n in range(1, 9)]
    nodes[4].role = "head"
    for each in nodes[4:]:
        each.ray, each.ranks = "not running", None
    nodes[7].processes, nodes[7].memory_available = [], 118 * 2**30
    broken = served(
        "code", "192.0.2.15", state="failed", engine="SGLang", uses_ray=False, model=MODEL
    )
    broken.api = ApiAnswer(error="SGLang exited during startup: CUDA out of memory. Tried to"
                           " allocate 12.00 GiB", code="start-failed")  # fmt: skip
    units = [unit(f"chat/0/ray/spark-{n}", "Ray") for n in range(1, 5)]
    units.append(unit("chat/0/vllm/spark-1", "vLLM"))
    lost = {"state": "failed", "why": broken.api.error, "pids": ()}
    units.append(unit("code/0/sglang/spark-5", "SGLang", **lost))
    lost["follows"] = units[-1].id
    units += [unit(f"code/0/sglang/spark-{n}", "SGLang", **lost) for n in (6, 7)]
    absent = {"state": "absent", "pending": True, "why": PENDING, "since": None, "pids": ()}
    units.append(unit("code/0/sglang/spark-8", "SGLang", **absent))
    services = {"chat": served("chat", model=MODEL), "code": broken}
    return Status("research", nodes, [], units=units, services=services)


if __name__ == "__main__":
    _, NAME, *WIDE = sys.argv
    print_status(globals()[NAME](), wide=bool(WIDE), now=NOW)

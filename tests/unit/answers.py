"""What a node answers, made whole and decoded; a test names only what it is about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from sparkctl.facts.calls import PROBE
from sparkctl.facts.decode import decode
from sparkctl.facts.groups import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.calls import Call
    from sparkctl.facts.node import NodeFacts

T = TypeVar("T")
# What every answer has, however little of a node could be read.
WHO = {
    "hostname": "spark-1",
    "user": "u",
    "uid": 1000,
    "home": "/home/u",
    "time": 1000.0,
    "time_end": 1000.1,
    "machine": "aarch64",
    "os": "Ubuntu 24.04",
    "python": "3.12.3",
    "unread": {},
}
IMAGE = "sha256:" + "a1" * 32
GID_LESS = {"phys_state": "LinkUp", "rate": "200 Gb/sec", "link_layer": "Ethernet", "gids": []}


def decoded(call: Call[T], answer: object, node: str = "spark-1") -> T:
    """An answer as it is after its way over the wire."""
    return decode(call, json.dumps(answer).encode(), node, "a test's answer")


def node_facts(answer: Mapping[str, Any], node: str = "spark-1") -> NodeFacts:
    """A probe's answer with these groups; the others are unread."""
    return decoded(PROBE, {**WHO, **answer}, node)


def all_facts(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, NodeFacts]:
    """The same of each node."""
    return {name: node_facts(answer, name) for name, answer in answers.items()}


def interface(*ipv4: str, **values: Any) -> dict[str, Any]:
    """An interface that is up, with these addresses."""
    return {
        "mtu": 9000,
        "up": True,
        "operstate": "up",
        "carrier": 1,
        "speed": 200_000,
        "address": "02:00:00:00:00:01",
        "phys_port_name": "p0",
        "pci": None,
        "pcie_speed": None,
        "pcie_width": None,
        "ipv4": list(ipv4),
        "ipv6": [],
        **values,
    }


def device(netdev: str, pci: str | None = None, state: str = "ACTIVE") -> dict[str, Any]:
    """An RDMA device with one port and no GID."""
    ports = {"1": {"state": state, **GID_LESS}}
    return {"netdevs": [netdev], "pci": pci, "guid": None, "ports": ports}


def process(role: str, command: str, **values: Any) -> dict[str, Any]:
    """A process of the cluster."""
    return {
        "pid": 1,
        "ppid": 1,
        "started": 1,
        "state": "S",
        "command": command,
        "cluster": "lab",
        "run": "r1",
        "role": role,
        "uid": 1000,
        "since": 0.0,
        "environment": {},
        "libraries": {},
        **values,
    }


def listener(port: int, **values: Any) -> dict[str, Any]:
    """A socket of bob's on a port; its process could not be read."""
    return {
        "port": port,
        "uid": 1001,
        "user": "bob",
        "pid": None,
        "command": None,
        "cluster": "",
        **values,
    }


def container(name: str, **values: Any) -> dict[str, Any]:
    """A running container of somebody else's."""
    return {
        "id": f"{name}-id",
        "name": name,
        "image": IMAGE,
        "state": "running",
        "pid": 4000,
        "cluster": None,
        "unit": None,
        "user": None,
        "restart": "no",
        "memory": 0,
        "gpu": False,
        **values,
    }


def engine(*containers: dict[str, Any], **values: Any) -> dict[str, Any]:
    """docker or podman, with the image and these containers."""
    image = {"id": IMAGE, "digests": [], "architecture": "arm64", "size": 20_000_000_000}
    return {
        "version": "28.3.0",
        "rootless": False,
        "problem": "",
        "reason": "",
        "image": image,
        "containers": [*containers],
        **values,
    }


def engines(**values: dict[str, Any]) -> dict[str, Any]:
    """The group `containers` with these engines, by name."""
    login = {"gid": 1000, "groups": [1000]}
    return {**login, "infiniband": True, "mounts": {}, "engines": values}


def config_json(*architectures: str, error: str | None = None) -> ModelConfig:
    """A model's config.json that names these architectures."""
    return ModelConfig(
        path="/models/m/config.json",
        architectures=architectures or None,
        model_type=None,
        error=error,
    )

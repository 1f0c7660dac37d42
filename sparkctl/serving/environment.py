"""The environment of a node, from layers; pure.

Order of precedence, the last wins: built-in, layers in their order, the inventory's env.set, the
node's env. Values may refer to what is known of the node: ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE},
${HCAS}, ${NODE}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sparkctl.errors import InventoryError, UsageError
from sparkctl.fabric.choice import FabricChoice
from sparkctl.inventory.models import Inventory, Node

# What the mechanism cannot do without; tuning belongs in env/*.env (facts/ray-vllm.md section 3).
BUILT_IN: dict[str, str] = {
    "NCCL_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "GLOO_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "TP_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "UCX_NET_DEVICES": "${SOCKET_INTERFACE}",
    "NCCL_IB_HCA": "${HCAS}",
    "NCCL_IB_DISABLE": "0",
    "NCCL_IGNORE_CPU_AFFINITY": "1",
    "VLLM_HOST_IP": "${FABRIC_ADDRESS}",
    "OMP_NUM_THREADS": "8",
    "TORCHINDUCTOR_MAX_AUTOTUNE": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENGINE_READY_TIMEOUT_S": "7200",
}
LINE = re.compile(r"(?:(-)\s*)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=(.*))?$")
REFERENCE = re.compile(r"\$\{([^}]*)\}")
SECRET = re.compile(r"(?i)(token|secret|password|passwd|credential)|key$")
NOT_SECRET = re.compile(r"_PATH$")
MASK = "****"


@dataclass(frozen=True)
class Setting:
    """A value and the layer that it came from."""

    value: str
    layer: str


@dataclass(frozen=True)
class Layer:
    """Settings of one file; null drops a variable that an earlier layer set."""

    name: str
    values: dict[str, str | None]


def masked(name: str, value: str) -> str:
    """The value, or **** when the name says that it is a secret."""
    return MASK if SECRET.search(name) and not NOT_SECRET.search(name) and value else value


def parse_layer(name: str, text: str) -> Layer:
    """A file of KEY=VALUE lines; `-KEY` drops a variable, `#` begins a comment line.

    Raises InventoryError with every line that is none of these, as file:line: text.
    """
    values: dict[str, str | None] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = LINE.match(stripped.removeprefix("export "))
        if not match or bool(match[1]) == (match[3] is not None):
            problems.append(f"{name}:{number}: wanted KEY=VALUE, -KEY or a comment, found {line!r}")
        elif match[2] in values:
            problems.append(f"{name}:{number}: {match[2]} is set twice in this file")
        else:
            values[match[2]] = None if match[1] else _unquoted(match[3].strip())
    if problems:
        raise InventoryError(problems)
    return Layer(name, values)


def _unquoted(value: str) -> str:
    """Quotes around the whole value are shell habit; NCCL would take them for part of a name."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def render(
    inventory: Inventory, node: Node, choice: FabricChoice, layers: list[Layer]
) -> dict[str, Setting]:
    """The effective environment of a node, by name.

    Raises UsageError when a value refers to something unknown.
    """
    known = {
        "FABRIC_ADDRESS": choice.address,
        "SOCKET_INTERFACE": choice.interfaces[0],
        "HCAS": ",".join(choice.hcas),
        "NODE": node.name,
    }
    merged: dict[str, Setting] = {}
    for layer in (
        Layer("built-in", dict(BUILT_IN)),
        *layers,
        Layer("inventory", dict(inventory.env.set)),
        Layer(f"node {node.name}", dict(node.env)),
    ):
        for name, value in layer.values.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = Setting(value, layer.name)
    if not choice.hcas and merged.get("NCCL_IB_HCA", Setting("", "")).layer == "built-in":
        del merged["NCCL_IB_HCA"]  # an empty list would select every device
    return {
        name: Setting(_resolve(name, setting, known), setting.layer)
        for name, setting in sorted(merged.items())
    }


def _resolve(name: str, setting: Setting, known: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise UsageError(
                f"{name} in layer {setting.layer} refers to {match[0]}, which is not known",
                hint="known are " + ", ".join(f"${{{k}}}" for k in known),
            )
        return known[match[1]]

    return REFERENCE.sub(one, setting.value)

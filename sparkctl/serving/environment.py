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
from sparkctl.fabric.selection import FabricChoice
from sparkctl.inventory.models import Inventory, Node
from sparkctl.secret.value import Secret, masked, protected_text, revealed
from sparkctl.serving.secretarguments import API_KEY, variables

# The recipe for a pair, so that a cluster serves without any layer. What the names mean to NCCL
# and Gloo: fabric/hca.py. From vLLM 0.22.1 what a node has set itself wins over what the
# driver carries over to Ray's workers, so each node may have its own NCCL_IB_HCA.
BUILT_IN: dict[str, str] = {
    # One literal interface for Gloo and vLLM's own TCP, the same for NCCL's bootstrap and UCX.
    "NCCL_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "GLOO_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "TP_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "UCX_NET_DEVICES": "${SOCKET_INTERFACE}",
    # Both halves of one cable: two PCI devices, which NCCL never merges (src/transport/net_ib).
    "NCCL_IB_HCA": "${HCAS}",
    "NCCL_IB_DISABLE": "0",
    "NCCL_IGNORE_CPU_AFFINITY": "1",
    # Each node's own: vLLM does not carry it over to the workers.
    "VLLM_HOST_IP": "${FABRIC_ADDRESS}",
    # Ray would give vLLM's actors 1.
    "OMP_NUM_THREADS": "8",
    # torch's; it is on only at 1 (vLLM 0.14 to 0.33, compared).
    "TORCHINDUCTOR_MAX_AUTOTUNE": "0",
    # On unified memory Ray's monitor would kill workers for what the GPU holds.
    "RAY_memory_monitor_refresh_ms": "0",
    # Readable logs.
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    # A node without a way out would wait for each of these to time out.
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    # vLLM's 600 s are too short for a first boot, which compiles kernels.
    "VLLM_ENGINE_READY_TIMEOUT_S": "7200",
}
REFERENCES = ("FABRIC_ADDRESS", "SOCKET_INTERFACE", "HCAS", "NODE")
LINE = re.compile(r"(?:(-)\s*|export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=(.*))?$")
REFERENCE = re.compile(r"\$\{([^}]*)\}")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
ARGUMENTS_LAYER = "vllm.arguments"


@dataclass(frozen=True)
class Setting:
    """A value, a Secret if it is one, and the layer that it came from."""

    value: str
    layer: str


@dataclass(frozen=True)
class Layer:
    """Settings of one file; null drops a variable that an earlier layer set."""

    name: str
    values: dict[str, str | None]


def unknown_references(value: str) -> list[str]:
    """Each ${NAME} in a value that no node knows, as wanted and found."""
    wanted = ", ".join(f"${{{name}}}" for name in REFERENCES)
    found = [m[0] for m in REFERENCE.finditer(revealed(value)) if m[1] not in REFERENCES]
    if isinstance(value, Secret):
        found = ["another" for _ in found[:1]]  # it is a part of the secret
    return [f"wanted one of {wanted}, found {reference}" for reference in found]


def parse_layer(name: str, text: str) -> Layer:
    """A file of KEY=VALUE lines; `-KEY` drops a variable, `#` begins a comment line.

    Raises InventoryError with every problem, as file:line: text; no value stands in it, for it
    may be a secret.
    """
    values: dict[str, str | None] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = LINE.match(stripped)
        if not match or bool(match[1]) == (match[3] is not None):
            name_part, sign, _ = stripped.partition("=")
            # Without the sign a line that is no name may be the rest of a secret.
            named = sign or LINE.fullmatch(masked("", stripped))
            found = ascii(name_part)[:60] if named else "a line without ="
            problems.append(f"{name}:{number}: wanted KEY=VALUE, -KEY or # comment, found {found}")
            continue
        key, value = match[2], None if match[1] else match[3].strip()
        said = [f"{key}: {text}" for text in _value_problems(key, value or "")]
        if key in values:
            said.append(f"{key}: wanted each name once, found it again")
        problems += [f"{name}:{number}: {text}" for text in said]
        values[key] = value if value is None else protected_text(_unquoted(value), key)
    if problems:
        raise InventoryError(problems, hint="an env layer holds KEY=VALUE lines, as in env/*.env")
    return Layer(name, values)


def _value_problems(name: str, value: str) -> list[str]:
    problems = unknown_references(protected_text(value, name))
    if UNPRINTABLE.search(value):
        problems.append("wanted printable text, found a control character")
    quoted = value[:1] in ("'", '"')
    if quoted and (len(value) < 2 or value[-1] != value[0]):
        problems.append("wanted a quote at the end as at the beginning")
    if not quoted and re.search(r"\s#", value):
        # It would become a part of the value: NCCL trims nothing (its src/misc/utils.cc).
        problems.append("wanted a comment on a line of its own, found one after the value")
    return problems


def _unquoted(value: str) -> str:
    """Quotes around the whole value are shell habit; NCCL would take them for part of a name."""
    return value[1:-1] if value[:1] in ("'", '"') else value


def merge(inventory: Inventory, node: Node, layers: list[Layer]) -> dict[str, Setting]:
    """A node's settings by name, each from the last layer that has it; references stand as they
    are, and need no node.

    vLLM's secret arguments come last: as in vLLM itself (0.32,
    vllm/entrypoints/serve/middleware/register.py), an argument wins over its variable.
    """
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
                merged[name] = Setting(protected_text(value, name), layer.name)
    return dict(sorted({**merged, **_by_argument(inventory, node)}.items()))


def _by_argument(inventory: Inventory, node: Node) -> dict[str, Setting]:
    """The variables that stand for arguments of vLLM; its API key is the head's alone."""
    return {
        name: Setting(value, ARGUMENTS_LAYER)
        for name, value in variables(inventory.vllm.arguments).items()
        if name != API_KEY or node.role == "head"
    }


def render(
    inventory: Inventory, node: Node, choice: FabricChoice | None, layers: list[Layer]
) -> dict[str, Setting]:
    """The effective environment of a node, by name; without a choice, what refers to the fabric
    is left out.

    Raises UsageError when a value refers to something unknown.
    """
    known = {"NODE": node.name}
    if choice is not None:
        known |= {
            "FABRIC_ADDRESS": choice.address,
            "SOCKET_INTERFACE": choice.interfaces[0],
            "HCAS": ",".join(choice.hcas),
        }
    return {
        name: Setting(_resolve(name, setting, known), setting.layer)
        for name, setting in merge(inventory, node, layers).items()
        if choice is not None or not _of_fabric(setting)
        # Without HCAs the list is empty, and an empty list selects every device.
        if choice is None or choice.hcas or setting.value != "${HCAS}"
    }


def _references(setting: Setting) -> list[str]:
    """The names that a value refers to; an argument of vLLM is its text, and refers to none."""
    if setting.layer == ARGUMENTS_LAYER:
        return []
    return [m[1] for m in REFERENCE.finditer(revealed(setting.value))]


def _of_fabric(setting: Setting) -> bool:
    return any(name in REFERENCES and name != "NODE" for name in _references(setting))


def _resolve(name: str, setting: Setting, known: Mapping[str, str]) -> str:
    if not _references(setting):
        return setting.value
    unknown = unknown_references(setting.value)
    if unknown:
        raise UsageError(
            f"{name} in layer {setting.layer}: {unknown[0]}",
            hint=f"correct {name} there, or drop it with a line -{name}",
        )
    text = REFERENCE.sub(lambda match: known[match[1]], revealed(setting.value))
    return protected_text(text, name)

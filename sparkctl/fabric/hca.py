"""What NCCL selects by NCCL_IB_HCA, and why not the others; pure.

NCCL's matcher (src/misc/utils.cc) and its caller (src/transport/net_ib*), 2.20.5 to 2.30.7. The
interfaces of NCCL_SOCKET_IFNAME are in ifname.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkctl.fabric.grammar import IB_HCA, LIMITS, Filter, parse
from sparkctl.fabric.lint import suspects
from sparkctl.fabric.version import NEWEST, Version

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ACTIVE = "ACTIVE"


@dataclass(frozen=True)
class Device:
    """A port of an RDMA device, in the verbs list's order; `state` as sysfs names it."""

    name: str
    port: int = 1
    state: str = ACTIVE


@dataclass(frozen=True)
class Verdict:
    """One device or interface: selected or not, and the reason."""

    name: str
    selected: bool
    reason: str


@dataclass(frozen=True)
class Selection:
    """What a value of `variable` selects among some devices, in their order.

    `warnings` tell what is most likely a mistake in the value; NCCL itself says nothing.
    """

    variable: str
    version: Version
    value: str | None
    devices: tuple[Verdict, ...]
    warnings: tuple[str, ...] = ()

    @property
    def selected(self) -> list[str]:
        """The names that are selected."""
        return [v.name for v in self.devices if v.selected]

    def document(self) -> dict[str, Any]:
        """The selection as JSON; part of the contract that scripts rely on."""
        return {
            "value": self.value,
            "selected": self.selected,
            "devices": [
                {"name": v.name, "selected": v.selected, "reason": v.reason} for v in self.devices
            ],
            "warnings": list(self.warnings),
        }


def select_hcas(
    value: str | None,
    devices: Sequence[Device],
    version: Version = NEWEST,
    *,
    netdevs: Collection[str] = (),
) -> Selection:
    """What NCCL_IB_HCA selects; only ports that are ACTIVE are ever looked at.

    Unset, empty, `,` and `=` select everything. `netdevs`, the node's interfaces, sharpen the
    warnings.
    """
    chosen = parse(value or "", LIMITS[IB_HCA], version)
    verdicts = [
        judge(chosen, d.name, d.port)
        if d.state == ACTIVE
        else Verdict(
            d.name,
            False,
            f"port {d.port} is {d.state}, not ACTIVE, which NCCL skips without a word",
        )
        for d in devices
    ]
    warnings = suspects(IB_HCA, value or "", [d.name for d in devices], netdevs, version)
    return Selection(IB_HCA, version, value, tuple(verdicts), tuple(warnings))


def judge(chosen: Filter, name: str, port: int) -> Verdict:
    """Whether a filter takes a device or interface that is alive, and why or why not."""
    entry = chosen.matches(name, port)
    if chosen.exclude and chosen.entries and entry is None:
        return Verdict(name, True, "nothing excludes it")
    if not chosen.entries:
        reason = "^ without names excludes everything" if chosen.exclude else "no name is given"
    elif entry is None:
        reason = _why_not(chosen, name, port)
    else:
        how = "is" if entry.name == name else "begins with"
        reason = f"{'excluded by ^: ' if chosen.exclude else ''}its name {how} {entry.name}"
    return Verdict(name, chosen.selects(name, port), reason)


def _why_not(chosen: Filter, name: str, port: int) -> str:
    for entry in chosen.entries:
        if chosen.names(entry, name):
            return f"its name matches {entry.name}, its port is not {entry.port} but {port}"
    if any(chosen.names(entry, name) for entry in chosen.beyond):
        return f"it is named beyond the first {len(chosen.entries)} entries, NCCL reads no more"
    for entry in chosen.entries:
        if name.startswith(entry.name):
            return f"= takes whole names, {entry.name} is only its beginning"
        if name.lower().startswith(entry.name.lower()):
            return f"{entry.name} differs from its name by case"
        parts = re.split(r"[\s\"';]+", entry.name)
        if len(parts) > 1 and any(part and name.startswith(part) for part in parts):
            return f"{entry.name!r} is one name for NCCL, with its space, quote or ; in it"
    return "no entry matches"

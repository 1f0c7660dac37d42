"""What NCCL selects by NCCL_IB_HCA, and why it skips the other devices; pure.

NCCL's matcher (src/misc/utils.cc) and its caller (src/transport/net_ib*), 2.20.5 to 2.30.7. The
interfaces of NCCL_SOCKET_IFNAME are in ifname.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.fabric.grammar import IB_HCA, LIMITS, Filter, parse
from sparkctl.fabric.lint import lint_value
from sparkctl.fabric.version import NEWEST, Version
from sparkctl.text import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.doubts import Doubt
    from sparkctl.errors import Data

ACTIVE = "ACTIVE"


@dataclass(frozen=True)
class Device:
    """A port of an RDMA device, in the verbs list's order; `state` as sysfs names it."""

    name: str
    port: int = 1
    state: str = ACTIVE


@dataclass(frozen=True)
class Verdict:
    """Whether NCCL selects a device or interface, and why; `code` is stable, `reason` is not.

    The codes: selected, excluded, no-match, wrong-port, beyond-limit, prefix-only, case, quoted;
    of devices also not-active, of interfaces no-address, not-running, not-default.
    """

    name: str
    code: str
    reason: str
    data: Data = field(default_factory=dict, hash=False)

    @property
    def selected(self) -> bool:
        """Whether NCCL selects it."""
        return self.code == "selected"


@dataclass(frozen=True)
class Selection:
    """What a value of `variable` selects among some devices, in their order.

    `doubts` are the likely mistakes in the value, of which NCCL prints nothing.
    """

    variable: str
    version: Version
    value: str | None
    devices: tuple[Verdict, ...]
    doubts: tuple[Doubt, ...] = ()

    @property
    def selected(self) -> list[str]:
        """The names that are selected."""
        return [v.name for v in self.devices if v.selected]

    @property
    def warnings(self) -> list[str]:
        """The texts of the doubts."""
        return [doubt.text for doubt in self.doubts]

    def document(self) -> dict[str, Any]:
        """The selection as JSON; part of the contract that scripts rely on."""
        return {
            "value": self.value,
            "selected": self.selected,
            "devices": [
                {
                    "name": verdict.name,
                    "selected": verdict.selected,
                    "code": verdict.code,
                    "reason": verdict.reason,
                    "data": verdict.data,
                }
                for verdict in self.devices
            ],
            "warnings": self.warnings,
            "doubts": [doubt.document() for doubt in self.doubts],
        }


def select_hcas(
    value: str | None,
    devices: Sequence[Device],
    version: Version = NEWEST,
    *,
    netdevs: Collection[str] = (),
) -> Selection:
    """What NCCL_IB_HCA selects among `devices`; NCCL considers ACTIVE ports alone.

    Unset, empty, `,` and `=` select everything. `netdevs` are the node's interfaces, by which the
    doubts distinguish an interface's name from an unknown one.
    """
    chosen = parse(value or "", LIMITS[IB_HCA], version)
    verdicts = [
        judge(chosen, device.name, device.port) if device.state == ACTIVE else _not_active(device)
        for device in devices
    ]
    doubts = lint_value(IB_HCA, value or "", [d.name for d in devices], netdevs, version)
    return Selection(IB_HCA, version, value, tuple(verdicts), tuple(doubts))


def _not_active(device: Device) -> Verdict:
    reason = f"port {device.port} is {device.state}, not {ACTIVE}; NCCL silently skips it"
    return Verdict(device.name, "not-active", reason, {"port": device.port, "state": device.state})


def judge(chosen: Filter, name: str, port: int) -> Verdict:
    """The verdict of a filter on a device or interface that NCCL considers."""
    entry = chosen.first_match(name, port)
    if entry is None:
        return _unmatched(chosen, name, port)
    reason = f"its name {'is' if entry.name == name else 'begins with'} {entry.name}"
    data = {"entry": entry.name}
    if chosen.exclude:
        return Verdict(name, "excluded", f"excluded by ^: {reason}", data)
    return Verdict(name, "selected", reason, data)


def _unmatched(chosen: Filter, name: str, port: int) -> Verdict:
    if chosen.entries and chosen.exclude:
        return Verdict(name, "selected", "no entry excludes it")
    if chosen.exclude:
        return Verdict(name, "excluded", "^ without names excludes everything")
    if not chosen.entries:
        return Verdict(name, "selected", "a value without names selects everything")
    for entry in chosen.entries:
        if chosen.matches_name(entry, name):
            reason = f"its name matches {entry.name}, but its port is {port} and not {entry.port}"
            return Verdict(name, "wrong-port", reason, {"entry": entry.name, "port": port})
    if any(chosen.matches_name(entry, name) for entry in chosen.beyond):
        limit = len(chosen.entries)
        reason = f"its entry comes after the first {limit}, the most that NCCL reads"
        return Verdict(name, "beyond-limit", reason, {"limit": limit})
    near = (_near_match(entry.name, name) for entry in chosen.entries)
    return next(filter(None, near), Verdict(name, "no-match", "no entry matches"))


def _near_match(entry: str, name: str) -> Verdict | None:
    """Why an entry that resembles the name does not match it; None if it does not resemble it."""
    data = {"entry": entry}
    if name.startswith(entry):
        reason = f"{entry} is only the beginning of its name, and = requires whole names"
        return Verdict(name, "prefix-only", reason, data)
    if name.lower().startswith(entry.lower()):
        return Verdict(name, "case", f"{entry} differs from its name in case", data)
    parts = re.split(r"[\s\"';]+", entry)
    if len(parts) > 1 and any(part and name.startswith(part) for part in parts):
        reason = f"NCCL reads {quoted(entry)} as one name, with its space, quote or semicolon"
        return Verdict(name, "quoted", reason, data)
    return None

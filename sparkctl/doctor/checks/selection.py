"""What NCCL selects on each node with the environment that `up` sets, and whether its HCAs fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.hca import ACTIVE, Device, Selection, select_hcas
from sparkctl.fabric.ifname import SOCKET_FAMILY, Interface, select_interfaces
from sparkctl.facts.unread import known
from sparkctl.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.version import Version


def devices(snapshot: Snapshot, name: str) -> list[Device]:
    """A node's RDMA ports as NCCL sees them."""
    return [
        Device(hca, int(number), port.state or "unknown")
        for hca, device in known(snapshot.facts(name).ib).items()
        for number, port in device.ports.items()
    ]


def links(snapshot: Snapshot, name: str) -> list[Interface]:
    """A node's network interfaces as NCCL sees them, in the kernel's order."""
    found = []
    for interface, net in known(snapshot.facts(name).net).items():
        addresses = (*net.ipv4, *net.ipv6)
        running = net.up and net.carrier != 0
        found.append(Interface(interface, running, bool(addresses), addresses))
    return found


def hca_selection(
    snapshot: Snapshot, name: str, environment: Mapping[str, str], version: Version
) -> Selection:
    """What NCCL_IB_HCA in this environment selects of a node's devices."""
    netdevs = list(known(snapshot.facts(name).net))
    return select_hcas(environment.get(IB_HCA), devices(snapshot, name), version, netdevs=netdevs)


def interface_selection(
    snapshot: Snapshot, name: str, environment: Mapping[str, str], version: Version
) -> Selection:
    """What NCCL_SOCKET_IFNAME in this environment selects of a node's interfaces."""
    return select_interfaces(
        environment.get(SOCKET_IFNAME),
        links(snapshot, name),
        version,
        family=environment.get(SOCKET_FAMILY),
        comm_id=environment.get("NCCL_COMM_ID"),
        hcas=list(known(snapshot.facts(name).ib)),
    )


def hca(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """NCCL_IB_HCA selects exactly the chosen HCAs."""
    chosen = set(snapshot.choice(name).hcas)
    selection = hca_selection(snapshot, name, snapshot.effective(name), snapshot.nccl_version(name))
    selected = set(selection.selected)
    value, origin = selection.value, snapshot.origin(name, IB_HCA)
    shown = f"{IB_HCA}, which is unset," if value is None else f"{IB_HCA}={quoted(value)}"
    if selected == chosen:
        yield ok(f"{shown} selects {_listed(selected)}", data={"hcas": sorted(selected)})
        return
    evidence = Evidence(
        _listed(chosen),
        _listed(selected),
        f"NCCL's matcher on {name}'s devices; the value is from {origin}",
    )
    remedy = Remedy(f"remove {IB_HCA} from layers and inventory: it is derived on each node")
    missing, extra = sorted(chosen - selected), sorted(selected - chosen)
    data: Data = {"got": value, "origin": origin, "missing": missing, "extra": extra}
    if missing:
        why = [*reasons(selection, missing), *selection.warnings]
        why += _not_active(value, snapshot, name)
        yield fail(
            f"{shown} does not select {', '.join(missing)}: {_effect(chosen, selected)}."
            f" {'; '.join(why)}",
            evidence,
            remedy,
            code="hca-not-selected",
            data={**data, "codes": _codes(selection, missing)},
        )
    if extra:
        why = reasons(selection, extra)
        yield fail(
            f"{shown} also selects {', '.join(extra)} of another cable. {'; '.join(why)}",
            evidence,
            remedy,
            code="hca-extra",
            data={**data, "codes": _codes(selection, extra)},
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _effect(chosen: set[str], selected: set[str]) -> str:
    if not selected:
        return "NCCL silently falls back to TCP"
    return "half of the cable is idle" if chosen & selected else "the cable is idle"


def reasons(selection: Selection, names: Iterable[str]) -> list[str]:
    """Why NCCL selects these devices or interfaces, or skips them."""
    found = {verdict.name: verdict.reason for verdict in selection.devices}
    return [f"{name}: {found.get(name, 'the node does not have it')}" for name in names]


def _codes(selection: Selection, names: Iterable[str]) -> list[str]:
    """The codes of the verdicts on these devices."""
    codes = {verdict.name: verdict.code for verdict in selection.devices}
    return sorted({codes.get(name, "missing") for name in names})


def named_and_down(value: str | None, snapshot: Snapshot, name: str) -> list[str]:
    """The devices that a value would select if they were ACTIVE: NCCL silently skips them."""
    every = [Device(d.name, d.port) for d in devices(snapshot, name)]
    down = {d.name for d in devices(snapshot, name) if d.state != ACTIVE}
    if not value or value.startswith("^"):
        return []
    return [d for d in select_hcas(value, every).selected if d in down]


def _not_active(value: str | None, snapshot: Snapshot, name: str) -> Iterator[str]:
    cages = {half.hca: half.cage for half in snapshot.halves(name)}
    used = {cages[chosen] for chosen in snapshot.choice(name).hcas if chosen in cages}
    for named in named_and_down(value, snapshot, name):
        text, cage = f"{named} is named but not ACTIVE", cages.get(named)
        if cage is not None and cage not in used:
            text += f": it is of cage {cage}, the cable is in {', '.join(map(str, sorted(used)))}"
        yield text


CHECKS = (Check("fabric.hca", "node", hca, preflight=True),)

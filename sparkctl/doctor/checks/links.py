"""The links of the chosen cage on each node: MTU, speed, PCIe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.cabling import known_halves
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Action, Remedy
from sparkctl.fabric.cabling import reachable
from sparkctl.fabric.topology import pci_netdev
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.topology import Half

SPEED = 200_000  # Mb/s on each half (Documentation/ABI/stable/sysfs-class-infiniband)
LANES, RATE = 4, 32.0  # PCIe Gen5 x4 for each half; the rate in GT/s a lane


def mtu(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The MTU is the inventory's; that both ends agree matters most."""
    expected = snapshot.inventory.fabric.mtu
    for half in snapshot.cage(name):
        if half.mtu is None:
            yield unknown(f"the MTU of {half.interface} could not be read")
        elif half.mtu == expected:
            yield ok(f"{half.interface} has MTU {expected}")
        else:
            ends = (
                h for peer in snapshot.reached if peer != name for h in known_halves(snapshot, peer)
            )
            peers = {end.mtu for end in ends if end.mtu is not None and reachable(half, end)}
            yield _unexpected_mtu(half, half.mtu, expected, peers)


def _unexpected_mtu(half: Half, got: int, expected: int, peers: set[int]) -> Finding:
    summary = f"{half.interface}: expected MTU {expected}, got {got}"
    evidence = Evidence(str(expected), str(got), f"/sys/class/net/{half.interface}/mtu")
    change = f"set the MTU of {half.interface} from {got} to {expected}"
    remedy = Remedy(
        f"set it to {expected} on every node, in netplan as well, or set fabric.mtu",
        actions=(Action(change, "link-mtu", {"interface": half.interface, "mtu": expected}),),
    )
    ends = [str(mtu) for mtu in sorted(peers)]
    data: Data = {"interface": half.interface, "expected": expected, "got": got, "peers": ends}
    if peers - {got}:
        text = f"{summary}; the other end has {', '.join(ends)}, and large packets will be lost"
        return fail(text, evidence, remedy, code="mtu-mismatch", data=data)
    effect = "the other end agrees" if peers else "the other end is unknown"
    return warn(f"{summary}; {effect}", evidence, remedy, code="mtu-unexpected", data=data)


def speed(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Each half's link runs at 200 Gb/s."""
    for half in snapshot.cage(name):
        found = known(snapshot.facts(name).net)[half.interface].speed
        where = f"/sys/class/net/{half.interface}/speed"
        data: Data = {"interface": half.interface, "expected": SPEED, "got": found}
        if found is None or found <= 0:
            yield _no_speed(half, where)
        elif found < SPEED:
            yield warn(
                f"{half.interface} runs at {found / 1000:g} Gb/s",
                Evidence(f"{SPEED} Mb/s", f"{found} Mb/s", where),
                Remedy("use a cable and a switch port that are rated for 200 Gb/s"),
                code="slow-link",
                data=data,
            )
        else:
            yield ok(f"{half.interface} runs at {found / 1000:g} Gb/s", data=data)


def _no_speed(half: Half, where: str) -> Finding:
    """A physical port has a speed while it is ACTIVE; what is virtual may have none."""
    data: Data = {"interface": half.interface}
    if half.pci is None and half.active:
        text = f"{half.hca} is a software device, and {half.interface} has no link speed"
        return info(text, code="software-device", data=data)
    state = "ACTIVE" if half.active else "not ACTIVE"
    return unknown(f"no speed of {half.interface}, which is {state} ({where})", data=data)


def pcie(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Each half's PCIe link has the bandwidth of Gen5 x4; max_link_width does not show it."""
    for half in snapshot.cage(name):
        if half.pci is None:
            text = f"{half.hca} is a software device without a PCIe link"
            yield info(text, code="software-device", data={"hca": half.hca})
        else:
            yield _pcie(snapshot, name, half)


def _pcie(snapshot: Snapshot, name: str, half: Half) -> Finding:
    net = pci_netdev(half, known(snapshot.facts(name).net))
    width, rate = net.pcie_width, net.pcie_speed
    where = f"/sys/bus/pci/devices/{half.pci}/current_link_{{width,speed}}"
    data: Data = {"hca": half.hca, "interface": half.interface, "width": width, "speed": rate}
    if width is None or rate is None:
        return unknown(f"no PCIe link of {half.interface} ({where})", data=data)
    if width == "0":
        text = f"{half.hca} has no PCIe link of its own, as a virtual function"
        return info(text, code="virtual-function", data=data)
    share = _bandwidth(width, rate) / _required(snapshot, name, half)
    if share >= 1:
        return ok(f"{half.interface}: PCIe x{width}, {rate}", data=data)
    return fail(
        f"{half.interface} is trained to PCIe x{width} at {rate}: {share:.0%} of the bandwidth",
        Evidence(f"x{LANES} at {RATE} GT/s", f"x{width} at {rate}", where),
        Remedy("shut the node down, unplug it for a minute, and boot with the cable plugged in"),
        code="slow-pcie",
        data=data,
    )


def _required(snapshot: Snapshot, name: str, half: Half) -> float:
    """Gen5 x4 in GT/s, or the speed of a slower link."""
    speed = known(snapshot.facts(name).net)[half.interface].speed or 0
    return min(LANES * RATE, speed / 1000) if speed > 0 else LANES * RATE


def _bandwidth(width: str, rate: str) -> float:
    """In GT/s; 0 for what is not a number."""
    each = re.match(r"\d+(\.\d+)?", rate)
    return int(width) * float(each[0]) if each and width.isdecimal() else 0.0


CHECKS = (
    Check("fabric.mtu", "node", mtu, preflight=True),
    Check("fabric.speed", "node", speed),
    Check("fabric.pcie", "node", pcie),
)

"""The chosen cage on each node: devices, halves, addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.addresses import addresses
from sparkctl.doctor.checks.subnets import subnets
from sparkctl.doctor.checks.verbs import provider
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Action, Remedy
from sparkctl.errors import PreflightError
from sparkctl.fabric.port_selection import unused
from sparkctl.fabric.topology import main_port, pci_netdev
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.fabric.topology import Half

CONNECTX = "mlx5"  # the provider of a Spark's NIC
LANES = 4  # of a half's PCIe link on a Spark: the same NIC in another machine has more


def devices(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The node has RDMA devices."""
    found = known(snapshot.facts(name).ib)
    if found:
        yield ok(f"RDMA devices: {', '.join(found)}", data={"hcas": list(found)})
        return
    yield fail(
        "no RDMA device; NCCL would use TCP at a tenth of the speed",
        Evidence("at least one device", "none", "/sys/class/infiniband"),
        Remedy(
            "plug in the QSFP cable at both ends, as recent DGX OS releases take the NIC off the"
            " PCI bus without one; then load the mlx5 driver",
            ("lspci -d 15b3:", "sudo modprobe mlx5_ib"),
        ),
        code="no-rdma-device",
    )


def choice(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The fabric can be derived, and the node has what the inventory sets."""
    error = snapshot.choice_error(name)
    if error is None:
        found = snapshot.choice(name)
        yield ok(
            f"{', '.join(found.interfaces)} with {', '.join(found.hcas) or 'no HCA'}",
            data={"interfaces": found.interfaces, "hcas": found.hcas},
        )
    elif isinstance(error, PreflightError):
        expected, got = str(error.data["expected"]), str(error.data["got"])
        yield fail(
            error.message,
            Evidence(expected, got, "the inventory and sysfs"),
            Remedy(error.hint or "correct the node's fabric in the inventory"),
            code=error.code,
            data=error.data,
        )
    else:
        yield unknown(error.message, data=error.data)


def halves(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Both halves of the chosen cage are ACTIVE and used: each has half of the 200 Gb/s."""
    cage = snapshot.cage(name)
    inactive = [half for half in cage if not half.active]
    yield from (_inactive(snapshot, name, half) for half in inactive)
    if inactive and snapshot.choice_error(name):
        return  # other findings follow from these
    found = snapshot.choice(name)
    if len(cage) == 1 and found.hcas:
        yield _one_half(snapshot, name, cage[0])
    left_out = unused(found, cage)
    yield from (_left_out(name, half, cage, found.hcas) for half in left_out)
    if len(cage) > 1 and not inactive and not left_out:
        yield ok(f"{_hcas(cage)} are ACTIVE")
    others = (half for half in snapshot.halves(name) if half not in cage)
    yield from (_unused(half) for half in others if half.ipv4 and not half.active)


def _unused(half: Half) -> Finding:
    """A port that has been configured: that it is DOWN may be why another cage was chosen."""
    text = f"{half.hca} is not ACTIVE, though {half.interface} has {', '.join(half.ipv4)}"
    data = {"hca": half.hca, "interface": half.interface, "addresses": half.ipv4}
    return info(f"{text}; cage {half.cage} is not used", code="unused-port-down", data=data)


def _hcas(halves: Sequence[Half]) -> str:
    return ", ".join(half.hca for half in halves)


def _one_half(snapshot: Snapshot, name: str, half: Half) -> Finding:
    data = {"hca": half.hca, "interface": half.interface}
    wide = _lanes(snapshot, name, half) > LANES
    if wide or not half.physical or provider(snapshot, name, half.hca) != CONNECTX:
        text = f"{half.hca} is not a port of a Spark's ConnectX-7, which has two halves"
        return info(text, code="other-device", data=data)
    return fail(
        f"one half of the cable is missing: {half.hca} is the only RDMA device of its cage",
        Evidence("two halves of one cage", half.hca, "/sys/class/infiniband"),
        Remedy("re-seat the cable and reboot, so that the other PCIe link's device appears"),
        code="half-missing",
        data=data,
    )


def _lanes(snapshot: Snapshot, name: str, half: Half) -> int:
    """The width of its PCIe link; 0 if it is not known."""
    width = pci_netdev(half, known(snapshot.facts(name).net)).pcie_width or ""
    return int(width) if width.isdecimal() else 0


def _left_out(name: str, half: Half, cage: Sequence[Half], used: Sequence[str]) -> Finding:
    return warn(
        f"the inventory leaves out {half.hca}, which is ACTIVE with {', '.join(half.ipv4)}: 100 of"
        " the 200 Gb/s",
        Evidence(_hcas(cage), ", ".join(used), "the inventory's fabric"),
        Remedy(
            f"add {half.hca} to {name}'s fabric, or remove hcas, interfaces, addresses and subnets"
            " to have both halves derived"
        ),
        code="half-unused",
        data={"hca": half.hca, "interface": half.interface, "used": used},
    )


def _inactive(snapshot: Snapshot, name: str, half: Half) -> Finding:
    device = known(snapshot.facts(name).ib)[half.hca]
    number, port = main_port(device)
    net = known(snapshot.facts(name).net)[half.interface]
    state = ", ".join(f"{p.state} ({p.phys_state})" for p in device.ports.values())
    where = f"/sys/class/infiniband/{half.hca}/ports/{number}/state"
    evidence = Evidence("ACTIVE (LinkUp)", state, where)
    if not net.up:
        return _down(half, evidence)
    if not net.carrier:
        return fail(
            f"{half.hca} is not ACTIVE: {half.interface} has no carrier",
            evidence,
            Remedy("bring the peer's half of this cable up, or re-seat the cable at both ends"),
            code="no-carrier",
            data={"hca": half.hca, "interface": half.interface},
        )
    if port.link_layer == "InfiniBand":
        return _infiniband(half, evidence)
    return fail(
        f"{half.hca} is {port.state}, not ACTIVE, though {half.interface} has carrier",
        evidence,
        Remedy(
            f"bring {half.interface} down and up again; the kernel's log has the driver's messages;"
            " reboot with the cable plugged in",
            (
                f"sudo ip link set {half.interface} down",
                f"sudo ip link set {half.interface} up",
                f"sudo dmesg | grep -iE 'mlx5|{half.hca}|{half.interface}'",
            ),
        ),
        code="port-not-active",
        data={"hca": half.hca, "interface": half.interface, "got": port.state},
    )


def _down(half: Half, evidence: Evidence) -> Finding:
    up = f"bring {half.interface} up"
    return fail(
        f"{half.hca} is not ACTIVE: its interface {half.interface} is administratively down",
        evidence,
        Remedy(up, actions=(Action(up, "link-state", {"interface": half.interface, "up": True}),)),
        code="interface-down",
        data={"hca": half.hca, "interface": half.interface},
    )


def _infiniband(half: Half, evidence: Evidence) -> Finding:
    set_ethernet = f"sudo mlxconfig -d {half.pci} set LINK_TYPE_P1=2"
    return fail(
        f"{half.hca} is not ACTIVE: its link layer is InfiniBand, which waits for a subnet manager",
        evidence,
        Remedy("set the port to Ethernet, then reboot", (set_ethernet,) if half.pci else ()),
        code="link-layer",
        data={"hca": half.hca, "expected": "Ethernet", "got": "InfiniBand"},
    )


CHECKS = (
    Check("fabric.devices", "node", devices, preflight=True),
    Check("fabric.choice", "node", choice, preflight=True),
    Check("fabric.halves", "node", halves, preflight=True),
    Check("fabric.addresses", "node", addresses, preflight=True),
    Check("fabric.subnets", "node", subnets, preflight=True),
)

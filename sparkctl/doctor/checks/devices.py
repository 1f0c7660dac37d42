"""The chosen cage on each node: devices, halves, addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.subnets import subnets
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Action, Remedy
from sparkctl.errors import PreflightError
from sparkctl.fabric.port_selection import unused
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.topology import Half

CABLE = "is the QSFP cable in at both ends? With no cable recent DGX OS takes the NIC off the bus"


def devices(view: View, name: str) -> Iterator[Finding]:
    """RDMA devices are there at all."""
    found = known(view.facts(name).ib)
    if found:
        yield ok(f"{len(found)} RDMA devices: {', '.join(found)}")
        return
    yield fail(
        "no RDMA device: NCCL would use TCP, at a tenth of the speed",
        Evidence("at least one device", "none", "/sys/class/infiniband"),
        Remedy(f"{CABLE}; then the mlx5 driver", ("lspci -d 15b3:", "sudo modprobe mlx5_ib")),
    )


def choice(view: View, name: str) -> Iterator[Finding]:
    """The fabric can be derived, and what the inventory says of it is there."""
    error = view.choice_error(name)
    if error is None:
        found = view.choice(name)
        yield ok(f"{', '.join(found.interfaces)} with {', '.join(found.hcas) or 'no HCA'}")
        return
    if not isinstance(error, PreflightError):
        yield unknown(error.message)
        return
    there = error.message.partition("the node has ")[2] or error.message
    yield fail(
        error.message,
        Evidence("a cage to use", there, "the inventory and sysfs"),
        Remedy(error.hint or "correct the node's fabric in the inventory"),
    )


def halves(view: View, name: str) -> Iterator[Finding]:
    """Both halves of the chosen cage are ACTIVE: one alone has half of the 200 Gb/s."""
    cage = view.cage(name)
    inactive = [half for half in cage if not half.active]
    for half in inactive:
        yield _inactive(view, name, half)
    if inactive and view.choice_error(name):
        return  # what else would be wrong shows once these are up
    rdma = view.choice(name).hcas
    if len(cage) == 1 and rdma:
        yield fail(
            f"only one half of the cable is there: {cage[0].hca}",
            Evidence("two halves of one cage", cage[0].hca, "/sys/class/infiniband"),
            Remedy("the other PCIe link's device is missing: re-seat the cable and reboot"),
        )
    left_out = unused(view.choice(name), cage)
    for half in left_out:
        yield warn(
            f"{half.hca} is ACTIVE with {', '.join(half.ipv4)}, and the inventory leaves it out:"
            " 100 of the 200 Gb/s",
            Evidence(
                f"{', '.join(h.hca for h in cage)}", ", ".join(rdma), "the inventory's fabric"
            ),
            Remedy(
                f"name {half.hca} in {name}'s fabric too, or leave hcas, interfaces, addresses and"
                " subnets out to have both halves derived"
            ),
        )
    if len(cage) > 1 and not inactive and not left_out:
        yield ok(f"{' and '.join(h.hca for h in cage)} are ACTIVE")


def _inactive(view: View, name: str, half: Half) -> Finding:
    where = f"/sys/class/infiniband/{half.hca}/ports/1/state"
    net = known(view.facts(name).net)[half.interface]
    ports = list(known(view.facts(name).ib)[half.hca].ports.values())
    state = ", ".join(f"{p.state} ({p.phys_state})" for p in ports)
    evidence = Evidence("ACTIVE (LinkUp)", state, where)
    if not net.up:
        return fail(
            f"{half.hca} is not ACTIVE: its interface {half.interface} is administratively down",
            evidence,
            Remedy(
                f"bring {half.interface} up",
                actions=(
                    Action(
                        f"bring {half.interface} up", ("ip", "link", "set", half.interface, "up")
                    ),
                ),
            ),
        )
    if net.carrier:
        return _idle(half, next(iter(ports)), evidence)
    return fail(
        f"{half.hca} is not ACTIVE: {half.interface} has no carrier, the other end is down or"
        " unplugged",
        evidence,
        Remedy("bring the peer's half of this cable up; re-seat the cable at both ends"),
    )


def _idle(half: Half, port: dict[str, Any], evidence: Evidence) -> Finding:
    """A link that is there, over which the port does not run RDMA."""
    ethernet = port.link_layer == "Ethernet"
    return fail(
        f"{half.hca} is {port.state}, not ACTIVE, though {half.interface} has carrier"
        + ("" if ethernet else f": its link layer is {port.link_layer}"),
        evidence,
        Remedy(
            f"take {half.interface} down and up again; what the driver says of it is in the"
            " kernel's log; reboot with the cable in",
            (f"sudo ip link set {half.interface} down", f"sudo ip link set {half.interface} up",
             "sudo dmesg | grep -i mlx5"),
        )
        if ethernet
        else Remedy(
            "set the port to Ethernet, then reboot: an InfiniBand port waits for a subnet manager",
            (f"sudo mlxconfig -d {half.pci} set LINK_TYPE_P1=2",),
        ),
    )  # fmt: skip


def addresses(view: View, name: str) -> Iterator[Finding]:
    """Every half has an IPv4 address, from which its RoCE v2 GID is made."""
    for half in view.cage(name):
        if half.ipv4:
            yield ok(f"{half.interface} has {', '.join(half.ipv4)}")
            continue
        yield fail(
            f"{half.interface} has no IPv4 address, so {half.hca} has no usable GID",
            Evidence("an IPv4 address", "none", f"ip address show {half.interface}"),
            Remedy(
                "give it an address in a subnet of its own, kept by netplan: one that lives in"
                " memory is gone after a reboot",
                (f"sudo ip address add ADDRESS/24 dev {half.interface}",),
            ),
        )


CHECKS = (
    Check("fabric.devices", "node", devices, preflight=True),
    Check("fabric.choice", "node", choice, preflight=True),
    Check("fabric.halves", "node", halves, preflight=True),
    Check("fabric.addresses", "node", addresses, preflight=True),
    Check("fabric.subnets", "node", subnets, preflight=True),
)

"""The links of the chosen cage on each node: MTU, speed, PCIe."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Action, Remedy
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.topology import Half

SPEED = 200_000  # Mb/s on each half (Documentation/ABI/stable/sysfs-class-infiniband)
PCIE_WIDTH, PCIE_SPEED = "4", "32.0 GT/s"  # Gen5 x4 for each half


def mtu(view: View, name: str) -> Iterator[Finding]:
    """The MTU is the inventory's; that both ends agree matters most."""
    wanted = view.inventory.fabric.mtu
    for half in view.cage(name):
        if half.mtu is None:
            yield unknown(f"the MTU of {half.interface} could not be read")
            continue
        if half.mtu == wanted:
            yield ok(f"{half.interface} has MTU {wanted}")
            continue
        ends = [h.mtu for n in view.reached if n != name for h in _peers(view, n, half)]
        others = {mtu for mtu in ends if mtu is not None}
        say = fail if others - {half.mtu} else warn
        effect = "the other end agrees" if others else "the other end is not known"
        yield say(
            f"{half.interface} has MTU {half.mtu}, wanted {wanted};"
            f" {'large packets will be lost' if say is fail else effect}",
            Evidence(str(wanted), str(half.mtu), f"/sys/class/net/{half.interface}/mtu"),
            Remedy(
                f"set it to {wanted} on every node (and in netplan, to keep it), or set fabric.mtu",
                actions=(
                    Action(
                        f"set the MTU of {half.interface} from {half.mtu} to {wanted}",
                        ("ip", "link", "set", half.interface, "mtu", str(wanted)),
                    ),
                ),
            ),
        )


def _peers(view: View, name: str, half: Half) -> list[Half]:
    """Another node's halves in the same subnet, as far as they are known."""
    if "net" not in view.facts(name) or "ib" not in view.facts(name):
        return []
    networks = [IPv4Interface(a).network for a in half.ipv4]
    return [
        h for h in view.halves(name) if any(IPv4Interface(a).network in networks for a in h.ipv4)
    ]


def speed(view: View, name: str) -> Iterator[Finding]:
    """Each half's link runs at 200 Gb/s."""
    for half in view.cage(name):
        found = known(view.facts(name).net)[half.interface].speed
        where = f"/sys/class/net/{half.interface}/speed"
        if found is None or found <= 0:
            state = "ACTIVE" if half.active else "not ACTIVE"
            yield unknown(f"{half.interface}, which is {state}, tells no speed ({where})")
        elif found < SPEED:
            yield warn(
                f"{half.interface} runs at {found / 1000:g} Gb/s",
                Evidence(f"{SPEED} Mb/s", f"{found} Mb/s", where),
                Remedy("a cable or switch port for less than 200 Gb/s: take one rated for it"),
            )
        else:
            yield ok(f"{half.interface} runs at {found / 1000:g} Gb/s")


def pcie(view: View, name: str) -> Iterator[Finding]:
    """Each half's PCIe link has trained to Gen5 x4; compare with 4, not with max_link_width."""
    for half in view.cage(name):
        net = known(view.facts(name).net)[half.interface]
        width, rate = net.pcie_width, net.pcie_speed
        where = f"/sys/class/net/{half.interface}/device/current_link_{{width,speed}}"
        if width is None or rate is None:
            if half.pci:
                yield unknown(f"{half.interface} tells no PCIe link ({where})")
            else:
                yield info(f"{half.hca} is no PCIe device")
        elif width == PCIE_WIDTH and rate.startswith(PCIE_SPEED):
            yield ok(f"{half.interface}: PCIe x{width}, {rate}")
        else:
            yield fail(
                f"{half.interface} has trained to PCIe x{width} at {rate}: about"
                f" {'half' if width == '2' else 'part'} of the bandwidth",
                Evidence(f"x{PCIE_WIDTH} at {PCIE_SPEED}", f"x{width} at {rate}", where),
                Remedy("shut the node down, unplug it for a minute, boot with the cable in"),
            )


CHECKS = (
    Check("fabric.mtu", "node", mtu, preflight=True),
    Check("fabric.speed", "node", speed),
    Check("fabric.pcie", "node", pcie),
)

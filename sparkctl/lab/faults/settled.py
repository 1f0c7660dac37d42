"""Waiting until the lab's nodes agree with their links: the kernel and the imitated sysfs."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab import iproute
from sparkctl.lab.errors import rebuild_hint

if TYPE_CHECKING:
    from sparkctl.lab.running import RunningNode

WAIT = 15.0  # seconds; the kernel's linkwatch takes one, the imitated sysfs some milliseconds
# The links; then a line for each RDMA device: its netdev, its number of IPv4 GIDs, its state.
LOOK = """\
ip -json address show
for device in /sys/class/infiniband/*; do
    [ -e "$device/ports/1/state" ] || continue
    gids=$(cat "$device"/ports/1/gids/? | grep -c :ffff:) || true
    netdev=$(cat "$device/parent" 2>/dev/null || ls "$device/device/net")
    echo "$netdev $gids $(cat "$device/ports/1/state")"
done
"""


def wait(nodes: list[RunningNode]) -> None:
    """Wait until each node's state agrees with its links; raises SparkctlError after WAIT s."""
    deadline = time.monotonic() + WAIT
    for running in nodes:
        running.signal(signal.SIGUSR1)
        types = len(running.node.hardware.gid_types)
        while problem := unsettled(running.run("sh", "-c", LOOK), types):
            if time.monotonic() > deadline:
                raise SparkctlError(
                    f"{problem} after {WAIT:g} s",
                    node=running.node.name,
                    hint=rebuild_hint(running.node.base),
                    code="lab-not-settled",
                )
            time.sleep(0.02)


def unsettled(shown: str, types: int) -> str | None:
    """What in LOOK's output does not agree yet; None when all does.

    Each address has a GID of each of so many types.
    """
    first, *devices = shown.splitlines()
    links = iproute.links(first)
    for name, link in links.items():
        if link["link_type"] == "ether" and (link["operstate"] == "UP") != _is_active(link):
            return f"{name} is still {link['operstate']}"
    for line in devices:
        name, gids, state = line.split(maxsplit=2)
        link = links[name]
        expected = types * len(iproute.ipv4(link))
        if (state == "4: ACTIVE") != _is_active(link) or int(gids) != expected:
            return f"the imitated RDMA device of {name} is still {state}, with {gids} GIDs"
    return None


def _is_active(link: iproute.Link) -> bool:
    return iproute.is_up(link) and iproute.has_carrier(link)

"""Waiting until the lab's nodes show what their links are: the kernel and the imitated sysfs."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

from sparkctl.errors import SparkctlError

if TYPE_CHECKING:
    from sparkctl.lab.inside import Inside

WAIT = 15.0  # seconds; the kernel's linkwatch takes one, the imitated sysfs some milliseconds
# The links; then a line for each RDMA device: its netdev, how many GIDs of IPv4, its state.
LOOK = """\
ip -json address show
for device in /sys/class/infiniband/*; do
    [ -e "$device/ports/1/state" ] || continue
    gids=$(cat "$device"/ports/1/gids/? | grep -c :ffff:) || true
    echo "$(ls "$device/device/net") $gids $(cat "$device/ports/1/state")"
done
"""


def wait(nodes: list[Inside]) -> None:
    """Until what each node shows of its links is so; raises SparkctlError after WAIT seconds."""
    deadline = time.monotonic() + WAIT
    for inside in nodes:
        inside.signal(signal.SIGUSR1)
        while problem := unsettled(inside.run("sh", "-c", LOOK)):
            if time.monotonic() > deadline:
                raise SparkctlError(
                    f"after {WAIT:g} s {problem}",
                    node=inside.node.name,
                    hint=f"`sparkctl lab down --dir {inside.node.base}`, then up again",
                )
            time.sleep(0.02)  # between looks; the deadline ends it


def unsettled(shown: str) -> str | None:
    """What in LOOK's output does not fit together yet; None when all does."""
    first, *devices = shown.splitlines()
    links: dict[str, dict[str, Any]] = {link["ifname"]: link for link in json.loads(first)}
    for name, link in links.items():
        if link["link_type"] == "ether" and (link["operstate"] == "UP") != _active(link):
            return f"{name} is still {link['operstate']}"
    for line in devices:
        name, gids, state = line.split(maxsplit=2)
        link = links[name]
        addresses = sum(a["family"] == "inet" for a in link["addr_info"])
        # Each address is there as RoCE v1 and as RoCE v2.
        if (state == "4: ACTIVE") != _active(link) or int(gids) != 2 * addresses:
            return f"the RDMA device of {name} does not follow it yet: {state}, {gids} GIDs"
    return None


def _active(link: dict[str, Any]) -> bool:
    return "UP" in link["flags"] and "LOWER_UP" in link["flags"]

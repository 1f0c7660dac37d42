"""The state of the lab's nodes, to compare before a fault and after its healing."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sparkctl.cli.context import open_session
from sparkctl.lab.processes import first_pids
from sparkctl.lab.running import RunningNode

if TYPE_CHECKING:
    from sparkctl.lab.lab import Lab

# Names, modes and contents, without sizes of folders and times.
LOOK = r"""
cat /proc/mounts
ip route; ip rule; nft list ruleset
find /etc /root /dev /tmp /run /usr/local/bin -maxdepth 1 -printf '%p %M %y %l\n' | sort
find /run/sparkctl-lab /dev/infiniband /dev/shm /root/.sparkctl /usr/lib/*/libibverbs* \
    -printf '%p %M %y %l\n' 2>&1 | sort
md5sum /etc/passwd /etc/resolv.conf /etc/nsswitch.conf /usr/local/bin/nvidia-smi \
    /run/sparkctl-lab/* 2>&1
stat -f -c '%b' /tmp
cd /sys/class
grep -rsH . net/*/speed net/*/mtu net/*/operstate net/*/carrier net/*/phys_port_name \
    net/*/device/*_link_* infiniband_verbs/*/ibdev infiniband/*/node_guid
for port in infiniband/*/ports/1; do
    grep -sH . $port/state $port/phys_state $port/rate $port/hw_counters/* \
        $port/gids/? $port/gid_attrs/*/?
done
ls infiniband/*/device/net
ps -eo args= | grep -vE '^\[?(sh|ps|grep|sort|sshd)\>' | sort
"""


def running_nodes(lab: Lab) -> dict[str, RunningNode]:
    """The running nodes, by name."""
    pids = first_pids(lab.nodes)
    return {n.name: RunningNode(n, pids[n.name]) for n in lab.nodes if n.name in pids}


def on(lab: Lab, node: str, *argv: str) -> str:
    """What a program prints on a node, run past its sshd."""
    return running_nodes(lab)[node].run(*argv)


def state(lab: Lab) -> dict[str, Any]:
    """The lab's inventory; each node's files, mounts, links, rules and processes, its links as the
    kernel has them, and what sparkctl's probe reads over SSH.
    """
    found: dict[str, Any] = {"inventory": lab.inventory.read_text()}
    for name, running in running_nodes(lab).items():
        found[f"{name}: seen"] = running.run("sh", "-c", LOOK).splitlines()
        links = json.loads(running.run("ip", "-json", "address"))
        found[f"{name}: links"] = {link["ifname"]: _link(link) for link in links}
    with open_session(lab.inventory, read_only=True) as session:
        probed = session.probe(session.inventory.nodes)
    assert not probed.failed
    for name, facts in probed.ok.items():
        found[f"{name}: facts"] = _steady(facts)
    return found


def difference(lab: Lab, before: dict[str, Any]) -> dict[str, Any]:
    """What has changed, as (before, now); of lists, the entries that only one of them has."""
    now = state(lab)
    found = {}
    for key in before.keys() | now.keys():
        old, new = before.get(key), now.get(key)
        if isinstance(old, list) and isinstance(new, list):
            old, new = [x for x in old if x not in new], [x for x in new if x not in old]
        if old != new:
            found[key] = old, new
    return found


def _link(link: dict[str, Any]) -> dict[str, Any]:
    kept = ("address", "mtu", "flags", "operstate")
    addresses = [f"{a['local']}/{a['prefixlen']} {a['scope']}" for a in link["addr_info"]]
    return {**{k: link.get(k) for k in kept}, "addresses": addresses}


def _steady(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts without what changes by itself: time, free memory, free disk space."""
    kept = {k: v for k, v in facts.items() if k not in ("time", "time_end", "memory")}
    kept["CmaTotal"] = facts["memory"].get("CmaTotal")
    text = json.dumps(kept, sort_keys=True)
    steady: dict[str, Any] = json.loads(re.sub(r'"free": \d+', '"free": "some"', text))
    return steady

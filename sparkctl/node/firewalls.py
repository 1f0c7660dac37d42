"""Which firewall a node has, as far as every user can see."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node.subprocesses import Started, start

if TYPE_CHECKING:
    from sparkctl.node.peerwire import Firewalls

# The program of each, and the units that load its rules. ufw's unit is active also where ufw is
# not enabled; only its file shows that.
PROGRAMS = {"ufw": "ufw", "firewalld": "firewall-cmd", "nftables": "nft", "iptables": "iptables"}
UNITS = {
    "firewalld": "firewalld",
    "nftables": "nftables",
    "iptables": "iptables",
    "netfilter-persistent": "iptables",
}
UFW = Path("/etc/ufw/ufw.conf")
PATH = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"  # a user's own may lack sbin
SECONDS = 2.0


def begin() -> Started:
    """Ask systemd for the units."""
    return start(["systemctl", "is-active", *UNITS])


def finish(asked: Started) -> Firewalls:
    """The names of those that are known to be `active`, and of those that are `installed`."""
    try:
        states = asked.wait(SECONDS).out.split()  # its status is 3 if one is not active
    except OSError:
        states = []
    units = [*UNITS.values()]
    active = {units[at] for at, state in enumerate(states[: len(units)]) if state == "active"}
    if _ufw():
        active.add("ufw")
    installed = [name for name, program in PROGRAMS.items() if shutil.which(program, path=PATH)]
    return {"active": sorted(active), "installed": installed}


def _ufw() -> bool:
    try:
        text = UFW.read_text(errors="replace")
    except OSError:
        return False
    return re.search(r"^\s*ENABLED\s*=\s*[\"']?yes\b", text, re.M | re.I) is not None

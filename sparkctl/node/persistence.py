"""Which addresses a node would have after a reboot: what its network files say, as text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

# Where network files are: folder and pattern. Of /run only what netplan made of its own files at
# boot (netplan-generate(8)); the rest is gone with it. What runs ip(8) counts as well.
FILES = (
    ("/etc/netplan", "*.yaml"),
    ("/usr/lib/netplan", "*.yaml"),
    ("/etc/NetworkManager/system-connections", "*"),
    ("/etc/NetworkManager/dispatcher.d", "*"),
    ("/run/NetworkManager/system-connections", "netplan-*"),
    ("/etc/systemd/network", "*.network"),
    ("/run/systemd/network", "*-netplan-*.network"),
    ("/etc/network", "interfaces"),
    ("/etc/network/interfaces.d", "*"),
    ("/etc/systemd/system", "*.service"),
    ("/etc", "rc.local"),
)
# A service's variables name addresses and interfaces, and give none.
COMMENT = re.compile(r"^\s*[#;].*|\s#.*|^\s*Environment=(?:.*\\\n)*.*", re.M)
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
# What gives an address that no file names: netplan(5), nm-settings-keyfile(5),
# systemd.network(5), interfaces(5). Compiled where a file is of any interest.
DHCP = (
    r"(?mi)dhcp4\s*:\s*(?:true|yes|on)|\[ipv4\][^\[]*method\s*=\s*auto"
    r"|^DHCP\s*=\s*(?:yes|true|ipv4)|^BOOTPROTO=\W?dhcp|inet\s+dhcp"
)
LINK_LOCAL = (
    r"(?mi)link-local\s*:[\s\[-]*(?:\w+[\s,-]+)*ipv4|\[ipv4\][^\[]*method\s*=\s*link-local"
    r"|^LinkLocalAddressing\s*=\s*(?:yes|true|ipv4)"
)
MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.I)
NET = Path("/sys/class/net")


def persistence(_: dict[str, Any]) -> dict[str, Any]:
    """`files`: each network file that names something here, with `path`, `addresses` (IPv4),
    `interfaces` (by name or MAC address), `dhcp` and `link_local` (it has such addresses);
    `unread`: files and folders that this user may not read. Nothing else of them is given: they
    hold passwords.
    """
    names, files, unread = _interfaces(), [], []
    for folder, pattern in FILES:
        if Path(folder).exists() and not os.access(folder, os.R_OK | os.X_OK):
            unread.append(folder)
            continue
        for path in sorted(Path(folder).glob(pattern)):
            try:
                found = named(path.read_text(errors="replace"), names)
            except (IsADirectoryError, FileNotFoundError):
                continue  # a link that leads nowhere is FileNotFoundError
            except OSError:
                unread.append(str(path))
                continue
            if found["addresses"] or found["interfaces"]:
                files.append({"path": str(path), **found})
    return {"files": files, "unread": unread}


def named(text: str, interfaces: dict[str, str]) -> dict[str, Any]:
    """What a network file names of these interfaces, each with its MAC address."""
    text = COMMENT.sub("", text)
    words = {*re.findall(r"[\w.-]+", text), *(mac.lower() for mac in MAC.findall(text))}
    here = sorted(n for n, mac in interfaces.items() if n in words or mac in words)
    return {
        "addresses": sorted({*IPV4.findall(text)}),
        "interfaces": here,
        "dhcp": bool(here and re.search(DHCP, text)),
        "link_local": bool(here and re.search(LINK_LOCAL, text)),
    }


def _interfaces() -> dict[str, str]:
    found = {}
    for path in NET.iterdir():
        try:
            found[path.name] = (path / "address").read_text().strip().lower()
        except OSError:
            continue  # bonding_masters is no interface
    found.pop("lo", None)
    return found

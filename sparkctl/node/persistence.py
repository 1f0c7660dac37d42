"""Which addresses a node would have after a reboot, from the text of its network files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

# Where network files are: folder and pattern. In /run only what netplan makes of its own files at
# boot (netplan-generate(8)); a reboot removes the rest. Files that run ip(8) count as well.
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
# The variables of a service name addresses and interfaces, but configure none.
COMMENT = re.compile(r"^\s*[#;].*|\s#.*|^\s*Environment=(?:.*\\\n)*.*", re.M)
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
# Settings that add an address which no file names: netplan(5), nm-settings-keyfile(5),
# systemd.network(5), interfaces(5). Compiled only when a file names an interface.
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


def persistence() -> Answer:
    """`files`: each network file that names an address or interface of this node, with `path`,
    `addresses` (IPv4), `interfaces` (by name or MAC address), `dhcp` and `link_local` (whether it
    sets such addresses); `unread`: files and folders that this user may not read. Nothing else is
    taken from the files: they hold passwords.
    """
    names = _interfaces()
    files: list[Answer] = []
    unread: list[str] = []
    for folder, pattern in FILES:
        if Path(folder).exists() and not os.access(folder, os.R_OK | os.X_OK):
            unread.append(folder)
            continue
        for path in sorted(Path(folder).glob(pattern)):
            try:
                found = named(path.read_text(errors="replace"), names)
            except (IsADirectoryError, FileNotFoundError):
                continue  # FileNotFoundError: a dangling link
            except OSError:
                unread.append(str(path))
                continue
            if found["addresses"] or found["interfaces"]:
                files.append({"path": str(path), **found})
    return {"files": files, "unread": unread}


def named(text: str, interfaces: dict[str, str]) -> Answer:
    """The addresses in a network file, and those of `interfaces` (name to MAC) that it names."""
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
            continue  # bonding_masters is not an interface
    found.pop("lo", None)
    return found

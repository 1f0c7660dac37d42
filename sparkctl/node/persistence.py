"""Which addresses a node would have after a reboot, from the text of its network files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

# Where network files are: folder and pattern. In /run only what netplan makes of its own files at
# boot (netplan-generate(8)); a reboot removes the rest.
FILES = (
    ("/etc/netplan", "*.yaml"),
    ("/usr/lib/netplan", "*.yaml"),
    ("/etc/NetworkManager/system-connections", "*"),
    ("/run/NetworkManager/system-connections", "netplan-*"),
    ("/etc/systemd/network", "*.network"),
    ("/run/systemd/network", "*-netplan-*.network"),
    ("/etc/network", "interfaces"),
    ("/etc/network/interfaces.d", "*"),
    ("/etc/sysconfig/network-scripts", "ifcfg-*"),
)
# What runs at boot or when a link comes up, and may set addresses as well.
SCRIPTS = (
    ("/etc/NetworkManager/dispatcher.d", "*"),
    ("/etc/networkd-dispatcher", "*.d/*"),
    ("/etc/network/if-up.d", "*"),
    ("/etc/systemd/system", "*.service"),
    ("/etc/systemd/system", "*.service.d/*.conf"),
    ("/usr/local/lib/systemd/system", "*.service"),
    ("/etc", "rc.local"),
    ("/etc", "crontab"),
    ("/etc/cron.d", "*"),
    ("/etc/cloud/cloud.cfg.d", "*.cfg"),
    ("/var/lib/cloud/scripts/per-boot", "*"),
)
# Programs that set addresses, also as a list of words: ip(8), ifconfig(8), nmcli(1), dhclient(8).
SETS = (
    r"\bip\b\W+(?:-\w+\W+)*a(?:d|dd|ddr|ddress)?\W+(?:add|replace|change)\b"
    r"|\bifconfig\W+\w+\W+(?:inet\W+)?\d|\bnmcli\b.*\bipv4\.addr|\b(?:dhclient|dhcpcd)\b"
)
# The files that a script names. Not those in a home, which may be a mount that hangs.
CALLED = r"(?<![\w.}/])/(?:bin|etc|opt|root|sbin|srv|usr|var)/[\w./-]+"
LONGEST = 1 << 16  # bytes of a script
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
    """`files`: each network file or script that names an address or interface of this node, and
    each script that sets addresses, with `path`, `addresses` (IPv4), `interfaces` (by name or MAC
    address), `dhcp` and `link_local` (whether it sets such addresses), `sets` (whether it runs a
    program that sets addresses); `unread`: network files and folders that this user may not read.
    Nothing else is taken from the files: they hold passwords.
    """
    names = _interfaces()
    texts: dict[str, str] = {}
    unread: list[str] = []
    for folder, pattern in FILES:
        _read(folder, pattern, texts, unread)
    scripts: dict[str, str] = {}
    for folder, pattern in SCRIPTS:
        _read(folder, pattern, scripts, [])
    called = {path for text in scripts.values() for path in re.findall(CALLED, _code(text))}
    for path in sorted(called - scripts.keys()):
        _read_script(path, scripts)
    files: list[Answer] = []
    for path, text in {**texts, **scripts}.items():
        found, sets = named(text, names), path in scripts and sets_addresses(text)
        if found["addresses"] or found["interfaces"] or sets:
            files.append({"path": path, **found, "sets": sets})
    return {"files": files, "unread": unread}


def _read(folder: str, pattern: str, texts: dict[str, str], unread: list[str]) -> None:
    """Add the text of each file, or the file or folder that this user may not read."""
    if Path(folder).exists() and not os.access(folder, os.R_OK | os.X_OK):
        unread.append(folder)
        return
    for path in sorted(Path(folder).glob(pattern)):
        try:
            texts[str(path)] = path.read_text(errors="replace")
        except (IsADirectoryError, FileNotFoundError):
            continue  # FileNotFoundError: a dangling link
        except OSError:
            unread.append(str(path))


def _read_script(path: str, scripts: dict[str, str]) -> None:
    """Add the text of a file if it is a script."""
    try:
        if not Path(path).is_file():
            return  # a pipe or device may wait for ever
        with Path(path).open("rb") as file:
            start = file.read(LONGEST)
    except OSError:
        return
    if start.startswith(b"#!"):
        scripts[path] = start.decode(errors="replace")


def _code(text: str) -> str:
    return COMMENT.sub("", text)


def named(text: str, interfaces: dict[str, str]) -> Answer:
    """The addresses in a network file, and those of `interfaces` (name to MAC) that it names."""
    text = _code(text)
    words = {*re.findall(r"[\w.-]+", text), *(mac.lower() for mac in MAC.findall(text))}
    here = sorted(n for n, mac in interfaces.items() if n in words or mac in words)
    return {
        "addresses": sorted({*IPV4.findall(text)}),
        "interfaces": here,
        "dhcp": bool(here and re.search(DHCP, text)),
        "link_local": bool(here and re.search(LINK_LOCAL, text)),
    }


def sets_addresses(text: str) -> bool:
    """Whether a script or unit runs a program that sets addresses."""
    return re.search(SETS, _code(text)) is not None


def _interfaces() -> dict[str, str]:
    found = {}
    for path in NET.iterdir():
        try:
            found[path.name] = (path / "address").read_text().strip().lower()
        except OSError:
            continue  # bonding_masters is not an interface
    found.pop("lo", None)
    return found

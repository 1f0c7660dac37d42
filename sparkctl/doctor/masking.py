"""Taking out of a text what must not leave the house; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from sparkctl.serving.environment import MASK, masked

ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]+)"
)
ASSIGNMENT = re.compile(r"\b([A-Za-z_]\w*)=(\S+)")
HOME = re.compile(r"/home/[^/\s:'\"]+")


@dataclass
class Masking:
    """What is masked: `names` (users, hosts) each get a word of their own, so that a reader can
    still tell them apart; private addresses stay, for the fabric cannot be read without them.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def mask(self, text: str) -> str:
        """The text without secrets, user names, hosts and public addresses."""
        text = ASSIGNMENT.sub(lambda m: f"{m[1]}={masked(m[1], m[2])}", text)
        text = HOME.sub("/home/user", text)
        for name in sorted(self.names, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", self.names[name], text)
        return ADDRESS.sub(lambda m: _address(m[0]), text)


def _address(text: str) -> str:
    try:
        return MASK if ip_address(text).is_global else text
    except ValueError:
        return text


def masking(users: Iterable[str], hosts: Mapping[str, str]) -> Masking:
    """A masking for these users, and for hosts (address or name) by their node's name.

    `root` says nothing of anybody and stays; so do addresses that are private.
    """
    names = {user: "user" for user in users if user and user != "root"}
    for node, host in hosts.items():
        if not _is_address(host) and host != node:
            names[host] = f"host-of-{node}"
    return Masking(names)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

"""Masks what a report must not show: secrets, users, hosts, public addresses; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from sparkctl.doctor.addresses import without_public_addresses
from sparkctl.secret.names import MASK
from sparkctl.secret.text import EQUALS, VALUE, secretless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOME = re.compile(r"/(home|Users)/[^/\s:'\"]+")
ACCOUNT = re.compile(r"(?<!\S)(-u|--user)[= ](?!root\b)[A-Za-z_][\w-]*(:\S+)?(?!\S)")
OWNER = re.compile(rf"""(\b(?:USER|LOGNAME|USERNAME|SUDO_USER)(?:{EQUALS}))(?!root\b){VALUE}""")
AT_HOST = re.compile(r"(?<![\w.@/*-])(?!root@)[A-Za-z_][\w.-]*@(?=[\w\[])")


def _anonymous(text: str) -> str:
    """The text without the users that its form shows: homes, `-u bob`, bob@host."""
    text = OWNER.sub(r"\1user", text)
    text = ACCOUNT.sub(lambda m: f"{m[1]} user{f':{MASK}' if m[2] else ''}", text)
    return AT_HOST.sub("user@", HOME.sub(r"/\1/user", text))


@dataclass
class Masking:
    """What to mask, with the word for each name (of users and hosts).

    A reader can still tell names apart. Private addresses stay, as the fabric cannot be understood
    without them.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def mask(self, text: str) -> str:
        """The text with secrets, user names, hosts and public addresses masked."""
        text = _anonymous(secretless(text))
        for name in sorted(self.names, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", self.names[name], text)
        return without_public_addresses(text)


def masking(users: Iterable[str], hosts: Mapping[str, Iterable[str]]) -> Masking:
    """A masking for these users, and for each node's hosts (addresses or names).

    `root` stays, as it names nobody; so do private addresses.
    """
    names = {user: "user" for user in users if user and user != "root"}
    for node, called in hosts.items():
        for host in called:
            if host != node and not _is_address(host):
                names[host] = f"host-of-{node}"
    return Masking(names)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

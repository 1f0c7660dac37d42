"""Masks what a report must not show: secrets, users, hosts, public addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING

from sparkctl.doctor.addresses import without_public_addresses
from sparkctl.secret.names import MASK
from sparkctl.secret.text import EQUALS, VALUE, secretless
from sparkctl.secret.value import concealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HOME = re.compile(r"/(home|Users)/[^/\s:'\"]+")
ACCOUNT = re.compile(r"(?<!\S)(-u|--user)[= ](?!root\b)[A-Za-z_][\w-]*(:\S+)?(?!\S)")
OWNER = re.compile(rf"""(\b(?:USER|LOGNAME|USERNAME|SUDO_USER)(?:{EQUALS}))(?!root\b){VALUE}""")
AT_HOST = re.compile(r"(?<![\w.@/*-])(?!root@)[A-Za-z_][\w.-]*@(?=[\w\[])")
# Names that name nobody, and are words of programs and paths.
SHARED = frozenset(
    {
        "",
        "admin",
        "dgx",
        "docker",
        "localhost",
        "nvidia",
        "podman",
        "ray",
        "root",
        "sglang",
        "spark",
        "ubuntu",
        "user",
        "vllm",
    }
)
DOMAIN = "domain"  # stands for what the hosts' names end with
LABEL = 2  # characters of a host's first label; fewer occur by chance


def _anonymous(text: str) -> str:
    """The text without the users that its form shows: homes, `-u bob`, bob@host."""
    text = OWNER.sub(r"\1user", text)
    text = ACCOUNT.sub(lambda m: f"{m[1]} user{f':{MASK}' if m[2] else ''}", text)
    return AT_HOST.sub("user@", HOME.sub(r"/\1/user", text))


@dataclass
class Masking:
    """What to mask, with the word for each name (of users, hosts and homes), and what is `kept`.
    Names of `hosts` are in lower case and masked in any.

    A reader can still tell names apart. Private addresses stay, as the fabric cannot be understood
    without them.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def mask(self, text: str) -> str:
        """The text with secrets, user names, hosts and public addresses masked; also a secret of
        the inventory that stands under no name.
        """
        return self.anonymous(secretless(concealed(text)))

    def anonymous(self, text: str) -> str:
        """The same for a text that has no secret any more."""
        text = _anonymous(text)
        if self.names:
            text = self._pattern.sub(self._word, text)
        return without_public_addresses(text)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """All names at once, the longest first, so that no word that stands for one is masked."""
        names = sorted({*self.names, *self.kept}, key=len, reverse=True)
        either = "|".join(
            rf"(?i:{re.escape(n)})" if n in self.hosts else re.escape(n) for n in names
        )
        return re.compile(rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])")

    def _word(self, found: re.Match[str]) -> str:
        name = found[0]
        return name if name in self.kept else self.names.get(name) or self.names[name.lower()]


def masking(
    users: Iterable[str], hosts: Mapping[str, Iterable[str]], homes: Iterable[str] = ()
) -> Masking:
    """A masking for these users, for each node's hosts (addresses or names), and these homes.

    A host is masked by its first label too, and the domain of all hosts wherever it stands. What
    is SHARED stays, such as `root`; so do the nodes' names and private addresses.
    """
    names = {user: "user" for user in users if user not in SHARED}
    names |= {home.rstrip("/"): "/home/user" for home in homes if home.strip("/") not in SHARED}
    known: dict[str, str] = {}
    nodes = {part for node in hosts for part in (node, *node.split("-and-"))}
    for node, called in hosts.items():
        for host in called:
            if host not in {node, *SHARED} and not _is_address(host):
                known |= dict(_of_host(host.lower().rstrip("."), node, nodes))
    return Masking(names | known, frozenset(nodes), frozenset(known))


def _of_host(host: str, node: str, nodes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """A host's full name, its first label and its domain, with the word for each."""
    label, _, domain = host.partition(".")
    yield host, f"host-of-{node}"
    if "." in domain:
        yield domain, DOMAIN
    if domain and len(label) >= LABEL and label not in {*nodes, *SHARED}:
        yield label, f"host-of-{node}"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

"""Jump hosts: the way to a host, each step resolved as ssh(1) would."""

from __future__ import annotations

import re
from dataclasses import replace

from sparkctl.errors import ConnectError
from sparkctl.inventory.models import Ssh
from sparkctl.remote.sshconfig import Target, resolve

MAX_HOPS = 8
HOP = re.compile(r"(?:ssh://)?(?:(?P<user>.+)@)?(?P<host>\[[^]]+\]|[^:/]+)(?::(?P<port>\d+))?/?")


def route(host: str, ssh: Ssh) -> list[Target]:
    """The jump hosts to a host and the host itself, in the order of connecting.

    As in ssh(1), the first jump host may have a ProxyJump or ProxyCommand of its own, those after
    it go through the one before. Raises ConnectError on a loop, or what `ssh -G` complains of.
    """
    return _through(resolve(host, ssh), ssh, 0)


def _through(target: Target, ssh: Ssh, depth: int) -> list[Target]:
    if depth > MAX_HOPS:
        raise ConnectError(
            f"ProxyJump should lead to {target.host} in at most {MAX_HOPS} steps, it goes on",
            hint="two hosts in ~/.ssh/config may name each other as ProxyJump",
        )
    if not target.proxy_jump:
        return [target]
    first, *others = (_hop(hop, ssh) for hop in target.proxy_jump)
    through = [replace(hop, proxy_jump=(), proxy_command=None) for hop in others]
    return [*_through(first, ssh, depth + 1), *through, target]


def _hop(hop: str, ssh: Ssh) -> Target:
    """A ProxyJump entry, [user@]host[:port] or ssh://…, with the settings of ~/.ssh/config.

    The inventory's user and key are the node's, not the jump host's; its known_hosts is looked at
    first for both.
    """
    match = HOP.fullmatch(hop.strip())
    if not match:
        raise ConnectError(
            f"ProxyJump should be [user@]host[:port], it is {hop}", hint="correct ~/.ssh/config"
        )
    settings = Ssh(
        user=match["user"] or None,
        port=int(match["port"]) if match["port"] else None,
        host_keys=ssh.host_keys,
        connect_timeout=ssh.connect_timeout,
    )
    target = resolve(match["host"].strip("[]"), settings)
    own = (ssh.known_hosts,) if ssh.known_hosts else ()
    return replace(target, known_hosts=own + target.known_hosts)

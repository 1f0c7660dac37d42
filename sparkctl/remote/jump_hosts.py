"""The jump hosts to a host, each resolved as by ssh(1)."""

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

    As in ssh(1), the first jump host may have its own ProxyJump or ProxyCommand; each other is
    reached through the one before. Raises ConnectError on a loop or a wrong configuration.
    """
    return _through(resolve(host, ssh), ssh, 0)


def _through(target: Target, ssh: Ssh, depth: int) -> list[Target]:
    if depth > MAX_HOPS:
        raise ConnectError(
            f"more than {MAX_HOPS} jump hosts lead to {target.host}",
            hint="check ~/.ssh/config for hosts that name each other as ProxyJump",
            code="proxy-jump-loop",
            data={"host": target.host, "limit": MAX_HOPS},
        )
    if not target.proxy_jump:
        return [target]
    first, *others = (_hop(hop, ssh) for hop in target.proxy_jump)
    through = [replace(hop, proxy_jump=(), proxy_command=None) for hop in others]
    return [*_through(first, ssh, depth + 1), *through, target]


def _hop(hop: str, ssh: Ssh) -> Target:
    """A ProxyJump entry, [user@]host[:port] or ssh://…, with the settings of ~/.ssh/config.

    The inventory's user and key are the node's, not the jump host's; its known_hosts is read
    first for both.
    """
    match = HOP.fullmatch(hop.strip())
    if not match:
        raise ConnectError(
            f'ProxyJump: expected [user@]host[:port], got "{hop}"',
            hint="correct ProxyJump in ~/.ssh/config",
            code="proxy-jump",
            data={"value": hop},
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

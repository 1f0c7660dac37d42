"""From a host's name to a logged-in transport: sockets, jump hosts, keys."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Iterator

import paramiko

from sparkctl.errors import AuthError, ConnectError, SparkctlError
from sparkctl.inventory.models import Ssh
from sparkctl.remote import hostkeys
from sparkctl.remote.sshconfig import Target, expand, resolve

KEEPALIVE = 15  # seconds
log = logging.getLogger(__name__)


def open_transport(node: str, host: str, ssh: Ssh) -> list[paramiko.Transport]:
    """The transports to a host, its jump hosts' first, all logged in.

    Raises ConnectError, HostKeyError or AuthError; nothing is left open then.
    """
    opened: list[paramiko.Transport] = []
    try:
        target = resolve(host, ssh)
        for hop in target.proxy_jump:
            opened.append(_login(node, _hop(hop), ssh, opened))
        opened.append(_login(node, target, ssh, opened))
    except SparkctlError as error:
        error.node = error.node or node
        for transport in reversed(opened):
            transport.close()
        raise
    return opened


def _hop(hop: str) -> Target:
    """A ProxyJump entry, [user@]host[:port] or ssh://…, resolved by ~/.ssh/config alone."""
    user, _, rest = hop.removeprefix("ssh://").rpartition("@")
    name, _, port = rest.partition(":") if rest.count(":") == 1 else (rest, "", "")
    return resolve(name, Ssh(user=user or None, port=int(port) if port else None))


def _login(
    node: str, target: Target, ssh: Ssh, before: list[paramiko.Transport]
) -> paramiko.Transport:
    timeout = ssh.connect_timeout
    where = f"{target.user}@{target.host} port {target.port}"
    transport = paramiko.Transport(_socket(node, target, timeout, before))
    try:
        _prefer_known_types(transport, target)
        transport.banner_timeout = transport.handshake_timeout = timeout
        transport.auth_timeout = timeout
        transport.set_keepalive(KEEPALIVE)
        error: Exception | None = None
        try:
            transport.start_client(timeout=timeout)
        except (paramiko.SSHException, EOFError, OSError) as raised:
            error = raised
        if error or not transport.initial_kex_done:  # start_client returns at its time-out
            raise ConnectError(
                f"{where} accepts TCP but no SSH session begins within {timeout:g} s"
                + (f": {error}" if error else ""),
                node=node,
                hint="the node may be frozen or out of memory, or the port is not sshd's",
            ) from error
        accept_new = ssh.host_keys == "accept-new"
        hostkeys.check(node, target, transport.get_remote_server_key(), accept_new=accept_new)
        _authenticate(node, target, transport, where)
    except BaseException:
        transport.close()
        raise
    return transport


def _socket(
    node: str, target: Target, timeout: float, before: list[paramiko.Transport]
) -> socket.socket | paramiko.Channel | paramiko.ProxyCommand:
    where = f"{target.host} port {target.port}"
    try:
        if before:
            return before[-1].open_channel(
                "direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=timeout
            )
        if target.proxy_command:
            return paramiko.ProxyCommand(target.proxy_command)
        return socket.create_connection((target.host, target.port), timeout=timeout)
    except socket.gaierror as error:
        raise ConnectError(
            f"the name {target.host} cannot be resolved: {error.strerror}",
            node=node,
            hint="correct the node's host in the inventory, or give it a HostName in ~/.ssh/config",
        ) from error
    except (OSError, paramiko.SSHException) as error:
        hint = "is the node on and in this network? `ping` it; check the node's host and ssh.port"
        if getattr(error, "errno", None) == errno.ECONNREFUSED:
            hint = (
                "the node is up but no sshd listens there: check ssh.port, `systemctl status ssh`"
            )
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConnectError(f"no connection to {where}: {reason}", node=node, hint=hint) from error


def _prefer_known_types(transport: paramiko.Transport, target: Target) -> None:
    """Ask for the kinds of key that known_hosts has, as ssh(1) does, else others look changed."""
    known = {key.get_name() for _, _, _, key in hostkeys.recorded(target)}
    if "ssh-rsa" in known:
        known |= {"rsa-sha2-512", "rsa-sha2-256"}
    options = transport.get_security_options()
    types = list(options.key_types)
    options.key_types = [t for t in types if t in known] + [t for t in types if t not in known]


def _authenticate(node: str, target: Target, transport: paramiko.Transport, where: str) -> None:
    offered: list[str] = []
    for name, key in _keys(target, offered):
        offered.append(name)
        try:
            transport.auth_publickey(target.user, key)
        except paramiko.SSHException as error:
            log.debug("%s refused %s: %s", where, name, error)
            if not transport.is_active():
                break
            continue
        except (EOFError, OSError):
            break
        if transport.is_authenticated():
            return
    tried = ", ".join(offered) or "nothing: no key was found in the agent or in IdentityFile"
    raise AuthError(
        f"{where} should let us in by key, it refused what was offered ({tried})",
        node=node,
        hint=f"`ssh-copy-id -p {target.port} {target.user}@{target.host}`, or set ssh.user and"
        " ssh.identity_file; `ssh -v` to the same host tells more",
    )


def _keys(target: Target, problems: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """The keys to offer, named: identity files first, then the agent's."""
    for name in target.identity_files:
        path = expand(name)
        if not path.is_file():
            continue
        try:
            yield str(path), paramiko.PKey.from_path(path)
        except (paramiko.PasswordRequiredException, TypeError):  # TypeError: cryptography says so
            problems.append(f"{path} (not offered: it needs a passphrase; `ssh-add {path}` first)")
        except (OSError, ValueError, paramiko.SSHException) as error:
            problems.append(f"{path} (not readable: {error})")
        except Exception as error:  # paramiko.UnknownKeyType does not share a base with the others
            problems.append(f"{path} (not understood: {error})")
    if not target.identities_only:
        with contextlib.suppress(paramiko.SSHException, OSError):
            for key in paramiko.Agent().get_keys():
                yield f"agent key {key.comment or key.get_name()}", key

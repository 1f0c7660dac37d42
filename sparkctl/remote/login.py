"""From a host's name to a logged-in transport: sockets, jump hosts, keys."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from typing import TYPE_CHECKING

import paramiko

from sparkctl.errors import AuthError, ConnectError, SparkctlError
from sparkctl.remote import hostkeys, tcp
from sparkctl.remote.jump_hosts import route
from sparkctl.remote.keys import offers
from sparkctl.remote.proxy import ProxySocket

if TYPE_CHECKING:
    from sparkctl.inventory.models import Ssh
    from sparkctl.remote.sshconfig import Target

KEEPALIVE = 15  # seconds

log = logging.getLogger(__name__)
# Without a handler the standard library prints a library's warnings and tracebacks to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def open_transport(node: str, host: str, ssh: Ssh) -> list[paramiko.Transport]:
    """The transports to a host, its jump hosts' first, all logged in.

    Raises ConnectError, HostKeyError or AuthError; nothing is left open then.
    """
    opened: list[paramiko.Transport] = []
    try:
        *hops, target = route(host, ssh)
        for hop in hops:
            opened.append(_login(node, hop, opened, "the jump host "))
        opened.append(_login(node, target, opened))
    except BaseException as error:
        if isinstance(error, SparkctlError):
            error.node = error.node or node
        for transport in reversed(opened):
            transport.close()
        raise
    return opened


def _login(
    node: str, target: Target, before: list[paramiko.Transport], role: str = ""
) -> paramiko.Transport:
    timeout = target.connect_timeout
    where = f"{role}{target.user}@{target.host} port {target.port}"
    connection = _socket(node, target, before, where)
    try:
        transport = paramiko.Transport(connection)
        try:
            _prefer_known_types(transport, target)
            transport.banner_timeout = transport.handshake_timeout = timeout
            transport.auth_timeout = timeout
            _begin(node, transport, connection, timeout, where)
            transport.set_keepalive(KEEPALIVE)
            hostkeys.check(node, target, transport.get_remote_server_key())
            _authenticate(node, target, transport, where)
        except BaseException:
            transport.close()
            raise
    except BaseException:
        connection.close()  # a transport that never began does not close it
        raise
    return transport


def _begin(
    node: str,
    transport: paramiko.Transport,
    connection: socket.socket | paramiko.Channel,
    timeout: float,
    where: str,
) -> None:
    error: Exception | None = None
    try:
        transport.start_client(timeout=timeout)
    except (paramiko.SSHException, EOFError, OSError) as raised:
        error = raised
    if not error and transport.initial_kex_done:  # start_client returns at its time-out
        return
    what, said = f"{where} accepts TCP but", str(error or "")
    hint = "the node may be frozen or out of memory, or the port is not sshd's"
    fault = f"no SSH session begins within {timeout:g} s"
    if _closed(error):
        fault, said = "the connection was closed before an SSH session began", ""
        hint = (
            "its sshd may be overloaded (MaxStartups) or refuse this address: `journalctl -u ssh`"
            " there; or the port is not sshd's"
        )
    if isinstance(connection, ProxySocket):
        what, said = f"the ProxyCommand to {where} runs but", connection.complaint() or said
        hint = "try the ProxyCommand of ~/.ssh/config by hand"
    raise ConnectError(
        f"{what} {fault}" + (f": {said}" if said else ""),
        node=node,
        hint=hint,
    ) from error


def _closed(error: BaseException | None) -> bool:
    """Whether the other side closed the connection; paramiko has another error around that one."""
    while error is not None:
        if isinstance(error, (EOFError, ConnectionResetError)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _socket(
    node: str, target: Target, before: list[paramiko.Transport], where: str
) -> socket.socket | paramiko.Channel:
    timeout, address = target.connect_timeout, (target.host, target.port)
    try:
        if before:
            return before[-1].open_channel(
                "direct-tcpip", address, ("127.0.0.1", 0), timeout=timeout
            )
        if target.proxy_command:
            return ProxySocket(target.proxy_command)
        return tcp.connect(address, timeout)
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
        if isinstance(error, paramiko.ChannelException):
            reason, hint = error.text, "the jump host cannot reach it: try `ssh` from there"
        raise ConnectError(f"no connection to {where}: {reason}", node=node, hint=hint) from error


def _prefer_known_types(transport: paramiko.Transport, target: Target) -> None:
    """Ask for the kinds of key that known_hosts has, as ssh(1) does, else others look changed."""
    known = hostkeys.known_types(target)
    options = transport.get_security_options()
    types = list(options.key_types)
    options.key_types = [t for t in types if t in known] + [t for t in types if t not in known]


def _authenticate(node: str, target: Target, transport: paramiko.Transport, where: str) -> None:
    offered: list[str] = []
    ended = ""
    with contextlib.closing(offers(target, offered)) as keys:
        for name, key in keys:
            offered.append(name)
            try:
                transport.auth_publickey(target.user, key)
            except paramiko.BadAuthenticationType as error:
                ended = f"; it takes {', '.join(error.allowed_types)} only"
                break
            except (paramiko.SSHException, EOFError, OSError) as error:
                log.debug("%s refused %s: %s", where, name, error)
                if not transport.is_active():
                    ended = f"; then it closed the connection ({error})"
                    break
            if transport.is_authenticated():
                return
    tried = ", ".join(offered) or "nothing: no key was found in the agent or in IdentityFile"
    raise AuthError(
        f"{where} should let us in by key, it refused what was offered ({tried}){ended}",
        node=node,
        hint=f"`ssh-copy-id -p {target.port} {target.user}@{target.host}`, or set ssh.user and"
        " ssh.identity_file (a jump host's in ~/.ssh/config); `ssh -v` to the same host tells more",
    )

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
from sparkctl.remote.keepalive import KEEPALIVE
from sparkctl.remote.keys import offers
from sparkctl.remote.proxy import ProxySocket

if TYPE_CHECKING:
    from sparkctl.inventory.models import Ssh
    from sparkctl.remote.sshconfig import Target

CODES = {
    errno.ECONNREFUSED: "connect-refused",
    errno.EHOSTUNREACH: "host-unreachable",
    errno.ENETUNREACH: "host-unreachable",
}
HINTS = {
    "connect-refused": "the node is up but no sshd listens there: check ssh.port and `systemctl"
    " status ssh`",
    "handshake-timeout": "the node may be frozen or out of memory, or the port is not sshd's",
    "handshake-closed": "sshd may be overloaded (MaxStartups) or refuse this address: see"
    " `journalctl -u ssh` there; or the port is not sshd's",
    "handshake-failed": "the port may not be sshd's: try `ssh -v` to the same host",
    "proxy-command": "try the ProxyCommand of ~/.ssh/config by hand",
    "jump-refused": "the jump host cannot reach it: try `ssh` from there",
    "name-unknown": "correct the node's host in the inventory, or give it a HostName in"
    " ~/.ssh/config",
}
CHECK_NETWORK = "is the node on and in this network? `ping` it; check the node's host and ssh.port"

log = logging.getLogger(__name__)
# Without a handler the standard library prints a library's warnings and tracebacks to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def open_transport(node: str, host: str, ssh: Ssh) -> list[paramiko.Transport]:
    """The logged-in transports to a host, its jump hosts' first.

    Raises ConnectError, HostKeyError or AuthError; then all are closed.
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
    where = f"{role}{target.user}@{target.host} port {target.port}"
    connection = _socket(target, before, where)
    try:
        transport = paramiko.Transport(connection)
        try:
            _prefer_known_types(transport, target)
            transport.banner_timeout = transport.handshake_timeout = target.connect_timeout
            transport.auth_timeout = target.connect_timeout
            _handshake(transport, connection, target, where)
            transport.set_keepalive(int(KEEPALIVE))
            hostkeys.check(node, target, transport.get_remote_server_key())
            _authenticate(target, transport, where)
        except BaseException:
            transport.close()
            raise
    except BaseException:
        connection.close()  # a transport that never began does not close it
        raise
    return transport


def _socket(
    target: Target, before: list[paramiko.Transport], where: str
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
        text = f"cannot resolve the host name {target.host}: {error.strerror}"
        raise _connect_error("name-unknown", text, target) from error
    except paramiko.ChannelException as error:
        text = f"cannot connect to {where}: {error.text}"
        raise _connect_error("jump-refused", text, target) from error
    except TimeoutError as error:
        text = f"cannot connect to {where}: timed out after {timeout:g} s"
        raise _connect_error("connect-timeout", text, target) from error
    except (OSError, paramiko.SSHException) as error:
        number, reason = (error.errno, error.strerror) if isinstance(error, OSError) else (0, "")
        text = f"cannot connect to {where}: {reason or str(error) or type(error).__name__}"
        raise _connect_error(CODES.get(number or 0, "connect"), text, target) from error


def _connect_error(code: str, text: str, target: Target) -> ConnectError:
    return ConnectError(
        text,
        hint=HINTS.get(code, CHECK_NETWORK),
        code=code,
        data={"user": target.user, "host": target.host, "port": target.port},
    )


def _handshake(
    transport: paramiko.Transport,
    connection: socket.socket | paramiko.Channel,
    target: Target,
    where: str,
) -> None:
    error: Exception | None = None
    timeout = target.connect_timeout
    try:
        transport.start_client(timeout=timeout)
    except (paramiko.SSHException, EOFError, OSError) as raised:
        error = raised
    if not error and transport.initial_kex_done:  # start_client also returns when it times out
        return
    code, text = _handshake_failure(connection, error, where, timeout)
    raise _connect_error(code, text, target) from error


def _handshake_failure(
    connection: socket.socket | paramiko.Channel,
    error: Exception | None,
    where: str,
    timeout: float,
) -> tuple[str, str]:
    """The code and the text of a handshake that failed; without an error it timed out."""
    proxy = connection if isinstance(connection, ProxySocket) else None
    reason = str(error or f"no SSH handshake within {timeout:g} s")
    printed = proxy.last_error() if proxy else ""
    if proxy and (printed or proxy.exited()):
        return "proxy-command", f"ProxyCommand to {where} failed: {printed or reason}"
    if proxy:
        text = f"ProxyCommand to {where} runs, but no SSH handshake began within {timeout:g} s"
        return "handshake-timeout", text
    if _caused_by(error, (EOFError, ConnectionResetError)):
        return "handshake-closed", f"{where} closed the connection before the SSH handshake"
    if error is None or _caused_by(error, TimeoutError):
        return "handshake-timeout", f"{where} sent no SSH handshake within {timeout:g} s"
    return "handshake-failed", f"SSH handshake with {where} failed: {reason}"


def _caused_by(
    error: BaseException | None, kinds: type[Exception] | tuple[type[Exception], ...]
) -> bool:
    """Whether an error is of these kinds or has one as its cause: paramiko wraps them."""
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def _prefer_known_types(transport: paramiko.Transport, target: Target) -> None:
    """Ask first for the key types in known_hosts, as ssh(1): another type would look changed."""
    known = hostkeys.known_types(target)
    options = transport.get_security_options()
    types = list(options.key_types)
    options.key_types = [t for t in types if t in known] + [t for t in types if t not in known]


def _authenticate(target: Target, transport: paramiko.Transport, where: str) -> None:
    tried: list[str] = []
    skipped: list[str] = []
    accepted: list[str] = []
    ending = ""
    with contextlib.closing(offers(target, skipped)) as keys:
        for name, key in keys:
            tried.append(name)
            try:
                transport.auth_publickey(target.user, key)
            except paramiko.BadAuthenticationType as error:
                accepted = list(error.allowed_types)
                ending = f"; the server accepts only {', '.join(accepted)}"
                break
            except (paramiko.SSHException, EOFError, OSError) as error:
                log.debug("%s refused %s: %s", where, name, error)
                if not transport.is_active():
                    ending = f"; the server closed the connection: {error}"
                    break
            if transport.is_authenticated():
                return
    without = f"; skipped {', '.join(skipped)}" if skipped else ""
    raise AuthError(
        f"SSH authentication failed for {where}; tried {', '.join(tried) or 'no key'}{without}"
        f"{ending}",
        hint=f"`ssh-copy-id -p {target.port} {target.user}@{target.host}`, or set ssh.user and"
        " ssh.identity_file (a jump host's in ~/.ssh/config); `ssh -v` to the same host shows more",
        data={
            "user": target.user,
            "host": target.host,
            "port": target.port,
            "tried": tried,
            "skipped": skipped,
            "accepted": accepted,
            "closed": not transport.is_active(),
        },
    )

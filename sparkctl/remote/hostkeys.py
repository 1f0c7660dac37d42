"""Host keys, checked as by ssh(1) with StrictHostKeyChecking=yes or accept-new."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from paramiko.hostkeys import HostKeyEntry, HostKeys

from sparkctl.errors import HostKeyError
from sparkctl.remote.sshconfig import Target, expand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import paramiko

_recording = threading.Lock()  # the nodes of a pool are connected at the same time


@dataclass(frozen=True)
class Recorded:
    """One line of known_hosts about a host; `marker` is "", @revoked or @cert-authority."""

    path: str
    line: int
    marker: str
    key: paramiko.PKey

    @property
    def place(self) -> str:
        """The file and line, as path:line."""
        return f"{self.path}:{self.line}"


def fingerprint(key: paramiko.PKey) -> str:
    """SHA256:… as ssh-keygen -l prints it."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def recorded(files: Sequence[str], host: str) -> list[Recorded]:
    """The lines of these known_hosts files about a host, in their order."""
    found = []
    for path in map(expand, files):
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:  # absent or unreadable: ssh continues without it as well
            continue
        for number, line in enumerate(lines, 1):
            with contextlib.suppress(Exception):  # paramiko raises many kinds on unreadable lines
                found += _parsed(line, host.lower(), str(path), number)
    return found


def _parsed(line: str, host: str, path: str, number: int) -> list[Recorded]:
    marker, _, rest = line.strip().partition(" ")
    if not marker.startswith("@"):
        marker, rest = "", line.strip()
    names = rest.partition(" ")[0]
    if not names or names.startswith("#") or not _matches(names.split(","), host):
        return []
    entry = HostKeyEntry.from_line(rest, number)
    return [Recorded(path, number, marker, entry.key)] if entry and entry.key else []


def _matches(patterns: list[str], host: str) -> bool:
    """Whether a known_hosts line is about a host: hashed, or patterns with * ? ! (sshd(8))."""
    if any(HostKeys.hash_host(host, p) == p for p in patterns if p.startswith("|1|")):
        return True
    # [host]:port is a name, not a set of characters.
    plain = [p.lower().replace("[", "[[]") for p in patterns if not p.startswith("|1|")]
    if any(fnmatchcase(host, p[1:]) for p in plain if p.startswith("!")):
        return False
    return any(fnmatchcase(host, p) for p in plain)


def known_types(target: Target) -> set[str]:
    """The key types that known_hosts has of a host, by the names of key algorithms."""
    lines = recorded(target.known_hosts, target.known_as) + _without_port(target)
    types = {line.key.get_name() for line in _plain(lines)}
    return types | ({"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in types else set())


def _without_port(target: Target) -> list[Recorded]:
    """ssh also accepts a host's bare name for another port that has no line of its own."""
    if target.host_key_alias or target.port == 22:
        return []
    return recorded(target.known_hosts, target.host)


def check(node: str, target: Target, key: paramiko.PKey) -> None:
    """Compare a server's key with known_hosts; with `accept_new` record that of a new host.

    Raises HostKeyError on an unknown, a changed or a revoked key.
    """
    lines = recorded(target.known_hosts, target.known_as)
    bare = _without_port(target)
    same = [line for line in lines + bare if line.key == key]
    if revoked := next((line for line in same if line.marker == "@revoked"), None):
        raise _revoked(node, target, revoked)
    trusted = _plain(lines)
    if any(line.key == key for line in trusted or _plain(bare)):
        return
    if trusted:
        raise _changed(node, target, key, trusted)
    if not target.accept_new:
        raise _unknown(node, target, key, lines)
    _record(node, target, key)


def _plain(lines: list[Recorded]) -> list[Recorded]:
    return [line for line in lines if not line.marker]


def _data(target: Target, key: paramiko.PKey) -> dict[str, str | int]:
    return {"host": target.known_as, "type": key.get_name(), "fingerprint": fingerprint(key)}


def _revoked(node: str, target: Target, line: Recorded) -> HostKeyError:
    return HostKeyError(
        f"the host key of {target.known_as} is marked @revoked at {line.place}:"
        f" {fingerprint(line.key)} ({line.key.get_name()})",
        node=node,
        hint="do not connect; ask who runs this machine",
        code="host-key-revoked",
        data={**_data(target, line.key), "file": line.path, "line": line.line},
    )


def _changed(
    node: str, target: Target, key: paramiko.PKey, trusted: list[Recorded]
) -> HostKeyError:
    old = next((r for r in trusted if r.key.get_name() == key.get_name()), trusted[0])
    return HostKeyError(
        f"the host key of {target.known_as} has changed from {fingerprint(old.key)}"
        f" ({old.key.get_name()}, at {old.place}) to {fingerprint(key)} ({key.get_name()})",
        node=node,
        hint="the machine was reinstalled, or somebody intercepts the connection; only if the"
        f" change is expected, run `ssh-keygen -f '{old.path}' -R '{target.known_as}'`",
        code="host-key-changed",
        data={
            **_data(target, key),
            "recorded": fingerprint(old.key),
            "file": old.path,
            "line": old.line,
        },
    )


def _unknown(node: str, target: Target, key: paramiko.PKey, lines: list[Recorded]) -> HostKeyError:
    port = f" -p {target.port}" if target.port != 22 else ""
    hint = (
        "compare the fingerprint on the node (`ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub`), then"
        f" connect once with `ssh{port} {target.user}@{target.host}`, or set"
        " ssh.host_keys: accept-new"
    )
    authority = next((r for r in lines if r.marker == "@cert-authority"), None)
    if authority:
        hint += (
            f"; sparkctl does not check certificates (@cert-authority at {authority.place}):"
            " record the host's own key as well"
        )
    return HostKeyError(
        f"the host key of {target.known_as} is unknown: {fingerprint(key)} ({key.get_name()}) is"
        f" not in {' or '.join(target.known_hosts) or 'any known_hosts file'}",
        node=node,
        hint=hint,
        code="host-key-unknown",
        data={
            **_data(target, key),
            "files": list(target.known_hosts),
            "authority": authority.place if authority else None,
        },
    )


def _record(node: str, target: Target, key: paramiko.PKey) -> None:
    if not target.known_hosts:
        return
    path = expand(target.known_hosts[0])
    name = HostKeys.hash_host(target.known_as) if target.hash_known_hosts else target.known_as
    line = f"{name} {key.get_name()} {key.get_base64()}\n"
    try:
        with _recording:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("a") as file:
                file.write(line if _ends_in_newline(path) else "\n" + line)
    except OSError as error:
        raise HostKeyError(
            f"cannot record the host key of {target.known_as} in {path}: {error.strerror}",
            node=node,
            hint="make that file writable, or set ssh.known_hosts to another one",
            code="host-key-not-recorded",
            data={**_data(target, key), "file": str(path)},
        ) from error


def _ends_in_newline(path: Path) -> bool:
    return not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")  # not a file: /dev/null

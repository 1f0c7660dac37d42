"""Host keys, as strictly as ssh(1) with StrictHostKeyChecking=yes or accept-new."""

from __future__ import annotations

import base64
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

_recording = threading.Lock()  # the nodes of a pool are met at the same time


@dataclass(frozen=True)
class Recorded:
    """One line of known_hosts about a host; `marker` is "", @revoked or @cert-authority."""

    path: str
    line: int
    marker: str
    key: paramiko.PKey


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
        except OSError:  # absent or not for us: ssh goes on without it as well
            continue
        for number, line in enumerate(lines, 1):
            marker, _, rest = line.strip().partition(" ")
            if not marker.startswith("@"):
                marker, rest = "", line.strip()
            names = rest.partition(" ")[0]
            if not names or names.startswith("#"):
                continue
            try:
                if not _names(names.split(","), host.lower()):
                    continue
                entry = HostKeyEntry.from_line(rest, number)
                if entry and entry.key:
                    found.append(Recorded(str(path), number, marker, entry.key))
            except Exception:  # paramiko raises many kinds on lines that it cannot read
                continue
    return found


def _names(patterns: list[str], host: str) -> bool:
    """Whether a known_hosts line is about a host: hashed, or patterns with * ? ! (sshd(8))."""
    if any(HostKeys.hash_host(host, p) == p for p in patterns if p.startswith("|1|")):
        return True
    # [host]:port is a name, not a set of characters.
    plain = [p.lower().replace("[", "[[]") for p in patterns if not p.startswith("|1|")]
    if any(fnmatchcase(host, p[1:]) for p in plain if p.startswith("!")):
        return False
    return any(fnmatchcase(host, p) for p in plain)


def known_types(target: Target) -> set[str]:
    """The kinds of key that known_hosts has of a host, by the names of key algorithms."""
    lines = recorded(target.known_hosts, target.known_as) + _without_port(target)
    types = {r.key.get_name() for r in lines if not r.marker}
    return types | ({"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in types else set())


def _without_port(target: Target) -> list[Recorded]:
    """ssh takes a host's bare name for another port too, when that has no line of its own."""
    if target.host_key_alias or target.port == 22:
        return []
    return recorded(target.known_hosts, target.host)


def check(node: str, target: Target, key: paramiko.PKey) -> None:
    """Compare a server's key with known_hosts; with `accept_new` record a host never seen.

    Raises HostKeyError on an unknown, a changed or a revoked key.
    """
    lines = recorded(target.known_hosts, target.known_as)
    bare = _without_port(target)
    revoked = next((r for r in lines + bare if r.marker == "@revoked" and r.key == key), None)
    if revoked:
        raise HostKeyError(
            f"the host key of {target.known_as}, {fingerprint(key)} ({key.get_name()}), is marked"
            f" @revoked at {revoked.path}:{revoked.line}",
            node=node,
            hint="do not connect: ask who runs this machine",
        )
    trusted = [r for r in lines if not r.marker]
    if any(r.key == key for r in trusted):
        return
    if trusted:
        raise _changed(node, target, key, trusted)
    if any(r.key == key for r in bare if not r.marker):
        return
    if not target.accept_new:
        raise _unknown(node, target, key, lines)
    _record(node, target, key)


def _changed(
    node: str, target: Target, key: paramiko.PKey, trusted: list[Recorded]
) -> HostKeyError:
    old = next((r for r in trusted if r.key.get_name() == key.get_name()), trusted[0])
    return HostKeyError(
        f"the host key of {target.known_as} has changed: {old.path}:{old.line} has"
        f" {fingerprint(old.key)} ({old.key.get_name()}), the server shows {fingerprint(key)}"
        f" ({key.get_name()})",
        node=node,
        hint="either the machine was installed anew, or somebody is in between. Only if the change"
        f" is expected: `ssh-keygen -f '{old.path}' -R '{target.known_as}'`",
    )


def _unknown(node: str, target: Target, key: paramiko.PKey, lines: list[Recorded]) -> HostKeyError:
    port = f" -p {target.port}" if target.port != 22 else ""
    hint = (
        f"compare the fingerprint on the node (`ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub`), then"
        f" connect once with `ssh{port} {target.user}@{target.host}`, or set"
        " ssh.host_keys: accept-new"
    )
    authority = next((r for r in lines if r.marker == "@cert-authority"), None)
    if authority:
        hint += (
            f"; {authority.path}:{authority.line} trusts an authority (@cert-authority), which"
            " sparkctl cannot check: record the host's own key as well"
        )
    return HostKeyError(
        f"the host key of {target.known_as} is unknown: {fingerprint(key)} ({key.get_name()}) is"
        f" in none of {', '.join(target.known_hosts) or 'no known_hosts file'}",
        node=node,
        hint=hint,
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
            f"the new host key of {target.known_as} should be recorded in {path}: {error.strerror}",
            node=node,
            hint="make that file writable, or set ssh.known_hosts to another one",
        ) from error


def _ends_in_newline(path: Path) -> bool:
    return not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")  # not a file: /dev/null

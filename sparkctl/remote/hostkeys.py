"""Host keys, as strictly as ssh(1) with StrictHostKeyChecking=yes or accept-new."""

from __future__ import annotations

import base64
import hashlib
from fnmatch import fnmatchcase
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys

from sparkctl.errors import HostKeyError
from sparkctl.remote.sshconfig import Target, expand


def fingerprint(key: paramiko.PKey) -> str:
    """SHA256:… as ssh-keygen -l prints it."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def recorded(target: Target) -> list[tuple[str, int, bool, paramiko.PKey]]:
    """The keys that known_hosts has for a host: (file, line, revoked, key)."""
    found = []
    for name in target.known_hosts:
        path = expand(name)
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            text = line.strip()
            if not text or text.startswith(("#", "@cert-authority")):
                continue
            revoked = text.startswith("@revoked")
            try:
                entry = HostKeyEntry.from_line(text.partition(" ")[2] if revoked else text, number)
            except Exception:  # a line of a kind that paramiko does not know is not about us
                continue
            if entry is None or entry.key is None:
                continue
            if _names(entry.hostnames or [], target.known_as):
                found.append((str(path), number, revoked, entry.key))
    return found


def _names(patterns: list[str], host: str) -> bool:
    """Whether a known_hosts line is about a host: hashed, or patterns with * ? ! (sshd(8))."""
    plain = [p for p in patterns if not p.startswith("|1|")]
    if any(HostKeys.hash_host(host, p) == p for p in patterns if p.startswith("|1|")):
        return True
    # [host]:port is a name, not a set of characters.
    escaped = [p.replace("[", "[[]") for p in plain]
    if any(fnmatchcase(host, p[1:]) for p in escaped if p.startswith("!")):
        return False
    return any(fnmatchcase(host, p) for p in escaped)


def check(node: str, target: Target, key: paramiko.PKey, *, accept_new: bool) -> None:
    """Compare a server's key with known_hosts; with `accept_new` record a host never seen.

    Raises HostKeyError on an unknown, a changed or a revoked key.
    """
    known = recorded(target)
    if any(revoked and k == key for _, _, revoked, k in known):
        raise HostKeyError(
            f"the host key {fingerprint(key)} of {target.known_as} is marked @revoked",
            node=node,
            hint="do not connect: ask who runs this machine",
        )
    trusted = [(path, line, k) for path, line, revoked, k in known if not revoked]
    if any(k == key for _, _, k in trusted):
        return
    if trusted:
        path, line, old = next(
            (t for t in trusted if t[2].get_name() == key.get_name()), trusted[0]
        )
        raise HostKeyError(
            f"the host key of {target.known_as} has changed: {path}:{line} has"
            f" {fingerprint(old)} ({old.get_name()}), the server shows {fingerprint(key)}"
            f" ({key.get_name()})",
            node=node,
            hint="either the machine was installed anew, or somebody is in between. Only if you"
            f" know why: `ssh-keygen -f {path} -R '{target.known_as}'`",
        )
    if not accept_new:
        raise HostKeyError(
            f"the host key of {target.known_as} is unknown: {fingerprint(key)}"
            f" ({key.get_name()}) is in none of {', '.join(target.known_hosts)}",
            node=node,
            hint=f"compare it, then connect once with ssh to {target.known_as}, or set"
            " ssh.host_keys: accept-new",
        )
    _record(expand(target.known_hosts[0]), target, key)


def _record(path: Path, target: Target, key: paramiko.PKey) -> None:
    name = HostKeys.hash_host(target.known_as) if target.hash_known_hosts else target.known_as
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as file:
        file.write(f"{name} {key.get_name()} {key.get_base64()}\n")

"""The lease on a cluster, as this node has it: who may change the cluster here, and until when.

It expires by this node's own clock since boot (CLOCK_BOOTTIME, which goes on in suspend, and
boot_id), so clocks that differ and reboots do not matter. A holder whose lease expired may renew it
as long as nobody else has taken it: each change needs the lease, so nothing has changed meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sparkctl.node import files

SCHEMA = 1
NAME, GUARD = "lease.json", "lease.lock"  # what is in force; the flock of who looks or writes
OLD = "lock"  # the directory that sparkctl made before there were leases; it never expires
OWN = {NAME, GUARD, OLD}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def take(request: dict[str, Any]) -> dict[str, Any]:
    """Take the lease for `seconds`, as `token`, unless another holds it; `force` takes it anyway.

    `owner` has who, when and why. Gives `holder`: null when it is ours now, else who has it (who,
    when, why and expires_in in seconds, null where it does not expire); and `unwritten`: why
    there is no room for it, else null.
    """
    unwritten = None
    try:
        with _guarded(request["cluster"]) as base:
            found = _holder(base)
            if found and not request.get("force") and found["token"] != request["token"]:
                return {"holder": _shown(found), "unwritten": None}
            shutil.rmtree(base / OLD, ignore_errors=True)
            _write(base, {**request["owner"], "token": request["token"]}, request["seconds"])
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        unwritten = error.strerror
    other = held(request["cluster"]) if unwritten and not request.get("force") else None
    return {"holder": other, "unwritten": unwritten}


def renew(request: dict[str, Any]) -> dict[str, Any]:
    """Keep the lease of `token` for `seconds` from now; `holder` as of `take`, `held`: whether it
    is still ours.
    """
    with _guarded(request["cluster"]) as base:
        found = _read(base)
        if found is None or found["token"] != request["token"]:
            other = _holder(base)
            return {"held": False, "holder": _shown(other) if other else None}
        _write(base, found, request["seconds"])
    return {"held": True, "holder": None}


def release(request: dict[str, Any]) -> dict[str, Any]:
    """Give the lease of `token` back; another's is left. A directory made for it goes with it."""
    base = files.home(request["cluster"])
    if base.is_dir():
        with _guarded(request["cluster"]):
            found = _read(base)
            if found is not None and found["token"] == request["token"]:
                (base / NAME).unlink()
            if os.listdir(base) == [GUARD]:
                (base / GUARD).unlink()
        files.remove_empty(base)
    return {}


def stale(request: dict[str, Any]) -> dict[str, Any] | None:
    """Why a call that changes this node may not go on: null when the lease is that of `token`.

    An empty token is the caller's who could not have it written, on a full disk: it may go on
    where nobody holds the lease. Else gives `holder`: who has it now, null when nobody has.
    """
    base = files.home(request["cluster"])
    found, other = _read(base), _holder(base)
    if not request["token"]:
        return {"holder": _shown(other)} if other else None
    if found is not None and found["token"] == request["token"]:
        return None
    return {"holder": _shown(other) if other else None}


def held(cluster: str, *, but: str | None = None) -> dict[str, Any] | None:
    """Who holds the lease on this node now (who, when, why, expires_in); null when nobody does, or
    the token `but`.
    """
    found = _holder(files.home(cluster))
    return _shown(found) if found and found["token"] != (but or None) else None


@contextmanager
def _guarded(cluster: str) -> Iterator[Path]:
    """The state directory, with everybody else kept from its lease meanwhile."""
    base = files.state_dir(cluster)
    guard = None
    try:
        guard = _locked(base / GUARD)
        yield base
    finally:
        if guard is not None:
            os.close(guard)
        else:
            files.remove_empty(base)


def _locked(path: Path) -> int:
    """A descriptor of this file with its flock; of the file that is there, not of a removed one."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        os.close(fd)


def _read(base: Path) -> dict[str, Any] | None:
    """The lease as written, expired or not; null when there is none that can be read."""
    try:
        found = json.loads((base / NAME).read_text())
        return {**found, "token": str(found["token"]), "expires": float(found["expires"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _holder(base: Path) -> dict[str, Any] | None:
    """The lease in force, or the lock of an older sparkctl."""
    if (base / OLD).is_dir():
        return _older(base / OLD)
    found = _read(base)
    if found is None or found.get("boot_id") != _boot_id() or found["expires"] <= _now():
        return None
    return found


def _older(path: Path) -> dict[str, Any]:
    try:
        owner = dict(json.loads((path / "owner.json").read_text()))
    except (OSError, ValueError, TypeError):
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
        owner = {"who": "unknown", "when": since, "why": "unknown"}
    return {**owner, "token": "", "expires": None}


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """What others may know of a lease: not its token."""
    left = None if found["expires"] is None else max(0.0, round(found["expires"] - _now(), 1))
    return {**{k: str(found.get(k, "unknown")) for k in ("who", "when", "why")}, "expires_in": left}


def _write(base: Path, lease: dict[str, Any], seconds: float) -> None:
    """Replaced atomically: a full disk leaves the one that was there, or none."""
    text = {**lease, "schema": SCHEMA, "expires": _now() + seconds, "boot_id": _boot_id()}
    files.replace(base / NAME, json.dumps(text))


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()

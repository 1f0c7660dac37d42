"""The lease on a cluster, as this node has it: who may change the cluster here, and until when.

It expires by this node's own clock since boot (CLOCK_BOOTTIME, which goes on in suspend, and
boot_id), so clocks that differ and reboots do not matter. A holder whose lease expired may renew it
as long as nobody else has taken it: each change needs the lease, so nothing has changed meanwhile.
What is there and cannot be read or understood is held, by "unknown"; it is never free.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sparkctl.node import files, guard
from sparkctl.node.guard import Damaged

SCHEMA = 1
NAME, GUARD = "lease.json", "lease.lock"  # what is in force; the flock of who looks or writes
OLD = "lock"  # the directory that sparkctl made before there were leases; it never expires
OWN = {NAME, GUARD, OLD}
BROKEN = (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError)
LONGEST = 3600.0  # seconds; no lease is taken for that long
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def take(request: dict[str, Any]) -> dict[str, Any]:
    """Take the lease for `seconds`, as `token`, unless another holds it; `force` takes it anyway.

    `owner` has who, when and why. Gives `holder`: null when it is ours now, else who has it (who,
    when, why and expires_in in seconds, null where it does not expire); `unwritten`: why there is
    no room for it, else null; `shared`: whether another node has taken it here with this token,
    which is then left as it is: a home on NFS, where no node can rely on its own lease.
    """
    cluster, force = request["cluster"], request.get("force")
    unwritten = None
    try:
        base = files.state_dir(cluster)
        if force and guard.damaged(base / GUARD):
            guard.remove(base / GUARD)
        with guard.hold(base, GUARD):
            found = _read(base)
            if found and found["token"] == request["token"] and found["boot_id"] != _boot_id():
                return {"holder": None, "unwritten": None, "shared": True}
            other = _holder(base)
            if other and not force and other["token"] != request["token"]:
                return {"holder": _shown(other), "unwritten": None, "shared": False}
            guard.remove(base / OLD)
            if (base / NAME).is_dir():
                guard.remove(base / NAME)
            _write(base, {**request["owner"], "token": request["token"]}, request["seconds"])
    except Damaged:
        other = _unknown(base / GUARD)
        return {"holder": _shown(other), "unwritten": None, "shared": False}
    except OSError as error:
        if error.errno not in guard.NO_ROOM:
            raise
        unwritten = error.strerror
    return {
        "holder": held(cluster) if unwritten and not force else None,
        "unwritten": unwritten,
        "shared": False,
    }


def renew(request: dict[str, Any]) -> dict[str, Any]:
    """Keep the lease of `token` for `seconds` from now; `holder` as of `take`, `held`: whether it
    is still ours. Where there is none nothing is made.
    """
    base = files.home(request["cluster"])
    with suppress(Damaged, FileNotFoundError, NotADirectoryError):  # given back meanwhile
        if _is_of(request["token"], _read(base)):
            with guard.hold(base, GUARD):
                found = _read(base)
                if found is not None and _is_of(request["token"], found):
                    _write(base, found, request["seconds"])
                    return {"held": True, "holder": None}
    return {"held": False, "holder": held(request["cluster"])}


def release(request: dict[str, Any]) -> dict[str, Any]:
    """Give the lease of `token` back; another's is left. A directory made for it goes with it."""
    base = files.home(request["cluster"])
    if base.is_dir():
        try:
            with guard.hold(base, GUARD):
                _give_back(base, request["token"])
        except (Damaged, FileNotFoundError):  # nobody takes it meanwhile, but by force; or is gone
            _give_back(base, request["token"])
    return {}


def _give_back(base: Path, token: str) -> None:
    if _is_of(token, _read(base)):
        (base / NAME).unlink(missing_ok=True)


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


def _is_of(token: str, found: dict[str, Any] | None) -> bool:
    return found is not None and found["token"] == token


def _read(base: Path) -> dict[str, Any] | None:
    """The lease as written, expired or not; null when there is none, `_unknown` when it cannot be
    understood.
    """
    path, boot_id = base / NAME, _boot_id()
    try:
        found = _loaded(path)
        expires = float(found["expires"])
        texts = isinstance(found["token"], str) and isinstance(found["boot_id"], str)
        latest = _now() + LONGEST if found["boot_id"] == boot_id else math.inf
        if not (texts and math.isfinite(expires) and expires <= latest):
            raise ValueError(path)
    except BROKEN:
        return _unknown(path) if guard.is_there(path) else None
    return {**found, "expires": expires}


def _loaded(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises one of BROKEN."""
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise ValueError(path)
    return dict(json.loads(path.read_text()))


def _unknown(path: Path) -> dict[str, Any]:
    """The holder that is assumed where what is there does not say who."""
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.lstat().st_mtime))
    except BROKEN:  # gone meanwhile, or a year that no calendar has
        since = "unknown"
    who = {"who": "unknown", "when": since, "why": "unknown"}
    return {**who, "token": "", "expires": None, "boot_id": ""}


def _holder(base: Path) -> dict[str, Any] | None:
    """The lease in force, the lock of an older sparkctl, or `_unknown`."""
    if guard.is_there(base / OLD):
        return _older(base / OLD)
    if guard.damaged(base / GUARD):
        return _unknown(base / GUARD)
    found = _read(base)
    if found is None or found["expires"] is None:
        return found
    return found if found["boot_id"] == _boot_id() and found["expires"] > _now() else None


def _older(path: Path) -> dict[str, Any]:
    try:
        return {**_unknown(path), **_owner(_loaded(path / "owner.json"))}
    except BROKEN:
        return _unknown(path)


def _owner(found: dict[str, Any]) -> dict[str, str]:
    values = {key: found.get(key) for key in ("who", "when", "why")}
    return {key: v if isinstance(v, str) else "unknown" for key, v in values.items()}


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """What others may know of a lease: not its token."""
    left = None if found["expires"] is None else max(0.0, round(found["expires"] - _now(), 1))
    return {**_owner(found), "expires_in": left}


def _write(base: Path, lease: dict[str, Any], seconds: float) -> None:
    """Replaced atomically: a full disk leaves the one that was there, or none."""
    text = {"schema": SCHEMA, "expires": _now() + seconds, "boot_id": _boot_id()}
    files.replace(base / NAME, json.dumps({**_owner(lease), "token": lease["token"], **text}))


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()

"""The lease on a cluster, as this node has it: who may change the cluster here, and until when.

It expires by this node's own clock since boot (CLOCK_BOOTTIME, which counts suspend, and boot_id),
so clocks that differ and reboots do not matter. A holder may renew an expired lease that nobody
else has taken since: changes need the lease, so nothing has changed meanwhile. What cannot be read
or understood is held by an unknown holder, never free; so is a lease of a newer schema.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import files, guard, jsontext
from sparkctl.node.guard import Damaged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.wire import Answer, Json, Patience, Renewal, Take, Token

SCHEMA = 1
NAME, GUARD = "lease.json", "lease.lock"  # the lease; the flock of who reads or writes it
OLD = "lock"  # the directory that sparkctl made before there were leases; it never expires
OWN = {NAME, GUARD, OLD, *files.JOURNAL}  # what stays while a cluster's files are removed
BROKEN = (OSError, ValueError, KeyError, OverflowError)
LOOK = 0.5  # seconds between looks at another's lease
LONGEST = 3600.0  # seconds; no lease is taken for that long
UNKNOWN = "unknown"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Lease(NamedTuple):
    """A lease; an assumed one, of an unknown holder, has no token and does not expire."""

    who: str
    when: str
    why: str
    token: str = ""
    expires: float | None = None
    boot_id: str = ""

    def shown(self) -> Answer:
        """What others may see: not its token."""
        left = None if self.expires is None else max(0.0, round(self.expires - _now(), 1))
        return {"who": self.who, "when": self.when, "why": self.why, "expires_in": left}


def take(request: Take) -> Answer:
    """Take the lease for `seconds`, as `token`, unless another holds it; `force` takes it anyway.

    `owner` has who, when and why. Returns `holder`: null when it is taken, else its holder (who,
    when, why and expires_in in seconds, null if it does not expire); `unwritten`: why there is no
    room for it, else null; `shared`: whether another node has taken it here with this token, which
    is then left: a home on NFS, where no node can rely on its own lease.
    """
    base, force = files.home(request["cluster"]), request.get("force", False)
    try:
        files.state_dir(request["cluster"])
        if force and guard.damaged(base / GUARD):
            guard.remove(base / GUARD)
        with guard.hold(base, GUARD):
            return _take(base, request, force=force)
    except Damaged:
        return _taken(_unknown(base / GUARD))
    except OSError as error:
        if error.errno not in guard.NO_ROOM:
            raise
        return _taken(None if force else _holder(base), unwritten=error.strerror)


def _take(base: Path, request: Take, *, force: bool) -> Answer:
    found, other, token = _read(base), _holder(base), request["token"]
    if found and found.token == token and found.boot_id != _boot_id():
        return _taken(None, shared=True)
    if other and not force and other.token != token:
        return _taken(other)
    guard.remove(base / OLD)
    if (base / NAME).is_dir():
        guard.remove(base / NAME)
    _write(base, _owned(request["owner"])._replace(token=token), request["seconds"])
    return _taken(None)


def _taken(other: Lease | None, *, unwritten: str | None = None, shared: bool = False) -> Answer:
    return {"holder": other and other.shown(), "unwritten": unwritten, "shared": shared}


def renew(request: Renewal) -> Answer:
    """Keep the lease of `token` for `seconds` from now, if it exists; `held`: whether it is still
    the caller's, `holder` as of `take`.
    """
    base, token = files.home(request["cluster"]), request["token"]
    with suppress(Damaged, FileNotFoundError, NotADirectoryError):  # released meanwhile
        if _is_of(token, _read(base)):
            with guard.hold(base, GUARD):
                found = _read(base)
                if found is not None and found.token == token:
                    _write(base, found, request["seconds"])
                    return {"held": True, "holder": None}
    return {"held": False, "holder": held(request["cluster"])}


def release(request: Token) -> Answer:
    """Release the lease of `token`, not another's; removes a directory that was made for it."""
    base = files.home(request["cluster"])
    if base.is_dir():
        try:
            with guard.hold(base, GUARD):
                _give_back(base, request["token"])
        except (Damaged, FileNotFoundError):  # nobody can take it now but by force; or it is gone
            _give_back(base, request["token"])
    return {}


def _give_back(base: Path, token: str) -> None:
    if _is_of(token, _read(base)):
        (base / NAME).unlink(missing_ok=True)


def stale(request: Token) -> Answer | None:
    """Null if a call with this token may change the node, else its `holder`, null for nobody.

    An empty token is that of a caller who had no room to write the lease, on a full disk: it may
    change the node unless somebody holds the lease.
    """
    base, token = files.home(request["cluster"]), request["token"]
    found, other = _read(base), _holder(base)
    if _is_of(token, found) if token else other is None:
        return None
    return {"holder": other and other.shown()}


def held(cluster: str, *, but: str | None = None) -> Answer | None:
    """The holder of the lease on this node (who, when, why, expires_in); null if there is none, or
    if it has the token `but`.
    """
    found = _holder(files.home(cluster))
    return found.shown() if found and found.token != (but or None) else None


def free(request: Patience) -> Answer:
    """Wait until nobody holds the lease, `timeout` seconds at most; `holder` as of `take`."""
    deadline = time.monotonic() + request["timeout"]
    while (holder := held(request["cluster"])) and time.monotonic() < deadline:
        time.sleep(LOOK)
    return {"holder": holder}


def _is_of(token: str, found: Lease | None) -> bool:
    return found is not None and found.token == token


def _read(base: Path) -> Lease | None:
    """The lease as written, even expired; None if there is none, `_unknown` if it cannot be
    understood.
    """
    path = base / NAME
    try:
        found = jsontext.table(files.document(path, SCHEMA))
        token, boot_id = jsontext.text(found["token"]), jsontext.text(found["boot_id"])
        expires = float(jsontext.number(found["expires"]))
        latest = _now() + LONGEST if boot_id == _boot_id() else math.inf
        if not (math.isfinite(expires) and expires <= latest):
            raise ValueError(path)
    except files.Newer as error:
        return _unknown(path)._replace(who="a newer sparkctl", why=str(error))
    except BROKEN:
        return _unknown(path) if guard.is_there(path) else None
    return _owned(found)._replace(token=token, expires=expires, boot_id=boot_id)


def _owned(found: Mapping[str, Json]) -> Lease:
    """A lease with this owner; what is missing is unknown."""
    values = [found.get(key) for key in ("who", "when", "why")]
    who, when, why = (value if isinstance(value, str) else UNKNOWN for value in values)
    return Lease(who, when, why)


def _unknown(path: Path) -> Lease:
    """The lease that is assumed because of what is at this path."""
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.lstat().st_mtime))
    except BROKEN:  # gone meanwhile, or a year that no calendar has
        since = UNKNOWN
    return Lease(UNKNOWN, since, UNKNOWN)


def _holder(base: Path) -> Lease | None:
    """The lease in force, the lock of an older sparkctl, or `_unknown`."""
    if guard.is_there(base / OLD):
        return _older(base / OLD)
    if guard.damaged(base / GUARD):
        return _unknown(base / GUARD)
    found = _read(base)
    if found is None or found.expires is None:
        return found
    return found if found.boot_id == _boot_id() and found.expires > _now() else None


def _older(path: Path) -> Lease:
    with suppress(*BROKEN):
        return _owned(jsontext.table(files.document(path / "owner.json", SCHEMA)))
    return _unknown(path)


def _write(base: Path, lease: Lease, seconds: float) -> None:
    """Replaced atomically: a full disk leaves the old one, or none."""
    renewed = lease._replace(expires=_now() + seconds, boot_id=_boot_id())
    files.replace(base / NAME, json.dumps({"schema": SCHEMA, **renewed._asdict()}))


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()

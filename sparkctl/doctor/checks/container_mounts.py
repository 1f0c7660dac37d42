"""What runtime.mounts names: a container does not start without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies, boxes
from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot


def mounts(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Each path that the user mounts is on the node."""
    sources = known(snapshot.facts(name).containers).mounts
    key = f"{snapshot.inventory.views[0].runtime_key}.mounts"
    lost = {path: problem for path, problem in sources.items() if problem}
    for path, problem in lost.items():
        if problem == "absent":
            yield _missing(path, name, key)
        elif problem == "denied" and boxes.engine(snapshot, name).rootless:
            yield _denied(path, snapshot.facts(name).user, key)
        else:  # docker's daemon looks as root
            yield unknown(f"the login cannot see whether {path} is there", code="mount-unread")
    if not lost:
        yield ok(", ".join(sources) or f"{key} is empty", data={"mounts": [*sources]})


def _missing(path: str, name: str, key: str) -> Finding:
    return fail(
        f"{path} of {key} does not exist",
        Evidence("a file or folder", "none", path),
        Remedy(f"create or mount {path} on {name}, or remove it from {key}"),
        code="mount-missing",
        data={"path": path},
    )


def _denied(path: str, user: str, key: str) -> Finding:
    return fail(
        f"{user} may not access {path} of {key}, and the engine runs as {user}",
        Evidence("a path that the login may access", "permission denied", path),
        Remedy(f"permit {user} to access each folder of {path}, or remove it from {key}"),
        code="mount-denied",
        data={"path": path, "user": user},
    )


CHECKS = (Check("container.mounts", "node", mounts, preflight=True, lacks=applies.container),)

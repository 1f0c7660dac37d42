"""A fact that could not be read is a value of its own, never "nothing there"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from sparkctl.errors import RemoteError

# Why: no permission, no answer in time, no such file or program, any other error, an answer of
# another shape, a group that the answer lacks, or not asked for.
Kind = Literal["denied", "timeout", "absent", "failed", "malformed", "missing", "unasked"]
T = TypeVar("T")
# What a user calls the groups of facts whose names say too little.
WORDS = {
    "ib": "the RDMA devices",
    "net": "the network interfaces",
    "ours": "the cluster's processes",
    "foreign_rays": "other Ray processes",
    "people": "the accounts",
    "model_config": "the model's config.json",
    "state": "sparkctl's files",
    "gpu": "the GPU",
    "inside": "the container",
    "containers": "the container engines",
    "limits": "the limits of a login",
    "kernel_log": "the kernel's log",
}


@dataclass(frozen=True)
class Unread:
    """What stands in place of facts that could not be read; `what` names them."""

    what: str
    reason: str
    kind: Kind = "failed"
    node: str | None = None

    def __str__(self) -> str:
        words = WORDS.get(self.what, self.what)
        return f"{words} could not be read" + (f": {self.reason}" if self.reason else "")


class Missing(RemoteError):
    """What is needed could not be read, or was not collected; `data` has `what` and `kind`."""

    code = "unread"

    def __init__(
        self, reason: str, *, what: str = "", kind: Kind = "failed", node: str | None = None
    ) -> None:
        hint = f"run `sparkctl doctor {node} --check reach`" if node else None
        super().__init__(reason, node=node, hint=hint, data={"what": what, "kind": kind})
        self.what = what
        self.kind = kind


def known(value: T | Unread) -> T:
    """The facts themselves. Raises Missing where they could not be read."""
    if isinstance(value, Unread):
        raise Missing(str(value), what=value.what, kind=value.kind, node=value.node)
    return value


def required(value: T | None, what: str) -> T:
    """A value that is None only where it could not be read. Raises Missing then."""
    if value is None:
        raise Missing(f"{what} could not be read", what=what)
    return value

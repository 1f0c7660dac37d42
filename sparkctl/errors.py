"""The exceptions that reach a user, with the exit code each one ends with.

    SparkctlError                exit 1  the operation failed
    |-- UsageError               exit 2  an option or argument is wrong
    |   `-- InventoryError       exit 2  the inventory has problems (all of them, at once)
    |-- PreflightError           exit 3  a check found a failure before anything was started
    |-- RemoteError              exit 1  a node could not be reached, or a command on it failed
    |   |-- ConnectError                 no connection to a node, or it was lost
    |   |-- HostKeyError                 the node's host key is unknown or has changed
    |   |-- AuthError                    the node accepted no key
    |   |-- RemoteTimeout                a command timed out and was killed on the node
    |   `-- CommandError                 a command failed on the node
    |-- LockedError              exit 1  another command holds the cluster's lease
    |-- LeaseLostError           exit 1  another command took the lease over
    |-- ForeignClusterError      exit 1  a node has another cluster of this name
    |-- ServingError             exit 1  Ray or vLLM did not come up, or died
    |-- OutputError              exit 1  stdout cannot be written
    `-- Interrupted              exit 130  Ctrl-C

Each has a message (what failed and why), a hint (what to do next), and for programs a code with
data: no program logic reads the message.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sparkctl.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    # What a code's data may hold: what JSON has.
    Data = Mapping[str, str | int | float | bool | Sequence[str] | None]


class Terminated(KeyboardInterrupt):
    """SIGTERM, or SIGHUP of a terminal that was closed: as Ctrl-C, but nobody can be asked."""


class SparkctlError(Exception):
    """An error with a remedy; `exit_code` and `code` are part of the documented contract.

    `code` is the class's unless a more specific one is given; `data` holds what it is about.
    """

    exit_code = 1
    code = "failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        node: str | None = None,
        code: str | None = None,
        data: Data | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.data = dict(data or {})
        self.message = message
        self.hint = hint
        self.node = node

    def __str__(self) -> str:
        return f"{self.node}: {self.message}" if self.node else self.message


def combined(errors: Mapping[str, SparkctlError], what: str = "failed") -> SparkctlError:
    """One error for those of several nodes, with their hints; a single one is returned as it is.

    A lost lease is returned alone. `data` has the nodes and their codes, `code` is the common one.
    """
    if len(errors) == 1:
        return next(iter(errors.values()))
    lost = next((e for e in errors.values() if isinstance(e, LeaseLostError)), None)
    lines = [f"{e}" + (f"\n    {e.hint}" if e.hint else "") for e in errors.values()]
    codes = [e.code for e in errors.values()]
    return lost or RemoteError(
        f"{len(errors)} nodes {what}:\n" + "\n".join(lines),
        code=codes[0] if len(set(codes)) == 1 else None,
        data={"nodes": list(errors), "codes": codes},
    )


class UsageError(SparkctlError):
    """An option or argument is wrong."""

    code = "usage"
    exit_code = 2


@dataclass(frozen=True)
class FileProblem:
    """One problem of a file; lines and columns count from 1.

    `path` is the key in the YAML file (nodes[1].role) or the variable of the env layer.
    """

    code: str
    text: str
    file: str
    line: int | None = None
    column: int | None = None
    path: str | None = None

    def document(self) -> dict[str, str | int | None]:
        """The problem as JSON; part of the contract that scripts rely on."""
        return asdict(self)

    def __str__(self) -> str:
        place = [str(part) for part in (self.file, self.line, self.column) if part is not None]
        return one_line(f"{':'.join(place)}: {self.text}")


class InventoryError(UsageError):
    """The inventory cannot be used; `details` holds every problem.

    `problems` has them as lines, file:line:column: text, whatever the file has in its keys.
    """

    code = "inventory"

    def __init__(self, details: Sequence[FileProblem], *, hint: str | None = None) -> None:
        self.details = list(details)
        self.problems = [str(detail) for detail in self.details]
        super().__init__("\n".join(self.problems), hint=hint)


class PreflightError(SparkctlError):
    """A check failed before anything was started."""

    code = "preflight"
    exit_code = 3


class OutputError(SparkctlError):
    """stdout cannot be written, as on a full disk."""

    code = "stdout-unwritable"


class Interrupted(SparkctlError):
    """The user pressed Ctrl-C."""

    code = "interrupted"
    exit_code = 130


class RemoteError(SparkctlError):
    """A node could not be reached, or a command on it failed."""

    code = "remote"


class ConnectError(RemoteError):
    """No connection to a node, or it was lost."""

    code = "connect"


class HostKeyError(RemoteError):
    """A node's host key is unknown, revoked, or not the recorded one."""

    code = "host-key"


class AuthError(RemoteError):
    """A node accepted no key."""

    code = "auth-failed"


class RemoteTimeout(RemoteError):
    """A command timed out and was killed on the node."""

    code = "timeout"


class CommandError(RemoteError):
    """A command failed on a node."""

    code = "command"


class LockedError(SparkctlError):
    """Another command holds the lease on the cluster."""

    code = "locked"


class LeaseLostError(SparkctlError):
    """The lease is no longer this command's, which must not change anything more."""

    code = "lease-lost"


class ForeignClusterError(SparkctlError):
    """A node has another cluster of this name, or another account's."""

    code = "foreign-cluster"


class ServingError(SparkctlError):
    """Ray or vLLM did not come up, or died; `log_tail` holds the last lines of its log."""

    code = "serving"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        node: str | None = None,
        code: str | None = None,
        data: Data | None = None,
        log_tail: list[str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, node=node, code=code, data=data)
        self.log_tail = log_tail or []

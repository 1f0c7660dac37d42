"""What was started on a node, as written there: the next `up` says what changed since; pure.

Secrets are in it as salted hashes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkctl.facts.unread import Missing, known
from sparkctl.plan.paths import APPLIED
from sparkctl.secret.value import HASHED, hashed, replaced, revealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.facts.node import NodeFacts

SCHEMA = 1
UNITS = ("ray", "vllm")
SHOWN = 60  # characters of a value


@dataclass(frozen=True)
class Record:
    """What one unit was started with, by which run."""

    run: str
    argv: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None  # null: an older sparkctl wrote a digest alone
    salt: str = ""
    digest: str = ""

    def document(self) -> dict[str, Any]:
        """The record as JSON."""
        return {
            "run": self.run,
            "argv": list(self.argv),
            "salt": self.salt,
            "environment": dict(self.environment or {}),
        }

    def changes(self, argv: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """What would be different with this argv and environment, one line each."""
        if self.environment is None:
            same = self.digest == digest(argv, environment)
            return [] if same else ["its settings changed"]
        now = make(self.run, argv, environment, salt=self.salt)
        old, new = _flags(self.argv), _flags(now.argv)
        found = [*_differences(old, new), *_differences(self.environment, now.environment or {})]
        return found or ([] if now.argv == self.argv else ["its arguments are in another order"])


def make(
    run: str, argv: Sequence[str], environment: Mapping[str, str], *, salt: str = ""
) -> Record:
    """The record of a start, with a new salt unless one is given."""
    salt = salt or secrets.token_hex(8)
    hidden = {name: hashed(name, value, salt) for name, value in environment.items()}
    return Record(run, replaced(argv, lambda secret: hashed("", secret, salt)), hidden, salt)


def digest(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """What an older sparkctl wrote in place of a record."""
    value = json.dumps(revealed([dict(environment), list(argv)]), sort_keys=True)
    return hashlib.sha256(value.encode()).hexdigest()


def text(records: Mapping[str, Record]) -> str:
    """The file with these units' records."""
    units = {unit: record.document() for unit, record in records.items()}
    return json.dumps({"schema": SCHEMA, "units": units}, indent=1)


def records(facts: NodeFacts) -> dict[str, Record]:
    """What was written on this node, by unit; what cannot be understood is left out.

    Raises Missing where the node's files could not be read, or a newer sparkctl wrote them.
    """
    files = known(facts.state).files
    if APPLIED not in files:
        raise Missing(f"{APPLIED} could not be read", what=APPLIED, kind="missing")
    try:
        value = json.loads(files[APPLIED] or "{}")
        if "units" not in value:
            return _older(value)
        if (schema := value.get("schema", SCHEMA)) != SCHEMA:
            reason = f"{APPLIED} has unknown schema {schema!r} (this sparkctl reads {SCHEMA})"
            raise Missing(reason, what=APPLIED, kind="malformed")
        return {unit: _record(value["units"][unit]) for unit in UNITS if unit in value["units"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _record(value: Mapping[str, Any]) -> Record:
    environment = {str(k): str(v) for k, v in value["environment"].items()}
    argv = tuple(str(part) for part in value["argv"])
    return Record(str(value["run"]), argv, environment, str(value["salt"]))


def _older(value: Mapping[str, Any]) -> dict[str, Record]:
    """As sparkctl wrote it before there was a schema: digests, and the runs as "ray_run", …"""
    return {
        unit: Record(str(value[f"{unit}_run"]), digest=str(value.get(unit, "")))
        for unit in UNITS
        if f"{unit}_run" in value
    }


def _flags(argv: Sequence[str]) -> dict[str, str]:
    """An argv by flag; what stands before the first one is the program."""
    found: dict[str, list[str]] = {"program": []}
    name = "program"
    for part in argv:
        if part.startswith("--"):
            name = part
            found.setdefault(name, [])
        else:
            found[name].append(part)
    return {flag: " ".join(values) for flag, values in found.items()}


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"{name} removed"
        elif name not in old:
            yield f"{name} added" + (f": {_shown(new[name])}" if new[name] else "")
        elif old[name] != new[name] and HASHED in old[name] + new[name]:
            yield f"{name} changed"
        elif old[name] != new[name]:
            yield f"{name}: {_shown(old[name])} -> {_shown(new[name])}"


def _shown(value: str) -> str:
    if value.startswith(HASHED):
        return "****"
    return value if len(value) <= SHOWN else f"{value[: SHOWN - 1]}…"

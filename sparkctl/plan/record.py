"""What was started on a node, as written there: the next `up` says what changed since; pure.

node/state.py writes it; secrets are in it as salted hashes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sparkctl.facts.unread import Missing, known
from sparkctl.node import jsontext
from sparkctl.node.unitid import is_unit, kind_of, node_of
from sparkctl.node.unitjson import unit_of
from sparkctl.node.units import READY, STARTING
from sparkctl.plan import older
from sparkctl.plan.paths import APPLIED
from sparkctl.secret.value import HASHED, hashed, replaced, revealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.facts.node import NodeFacts
    from sparkctl.node.units import Unit

SCHEMA = 2
OLDER = ("ray", "vllm")  # the units of schema 1, one of each on a node
DAMAGED = "record-damaged"  # the code of the error for a record that cannot be understood
NEWER = "record-newer"  # the code of the error for a newer sparkctl's record
SHOWN = 60  # characters of a value
FEW = 3  # words that are shown whole
LATEST = 1e11  # seconds since the epoch: the year 5138


@dataclass(frozen=True)
class Record:
    """What one unit was started with: by which run, who and when (seconds since the epoch).

    `unit` is None where an older sparkctl started it; `pid` is 0 before its program runs.
    """

    run: str
    argv: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None  # None: an older sparkctl wrote a digest alone
    salt: str = ""
    older: str = ""  # that digest
    unit: Unit | None = None
    phase: str = READY
    who: str = ""
    since: float = 0.0
    log: str = ""
    pid: int = 0
    started: int = 0

    def document(self) -> dict[str, Any]:
        """What a start sends to be recorded."""
        return {
            "argv": list(self.argv),
            "salt": self.salt,
            "environment": dict(self.environment or {}),
            "digest": self.digest,
            "who": self.who,
        }

    @property
    def digest(self) -> str:
        """Of all that would make it start differently."""
        value = [self.older, [*self.argv], dict(self.environment or {})]
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def again(self, argv: Sequence[str], environment: Mapping[str, str]) -> Record:
        """The record of a start with this argv and environment that compares with this one: equal
        digests for an equal start.
        """
        if self.environment is None:
            same = self.older == _older_digest(argv, environment)
            return self if same else make(self.run, argv, environment)
        return make(self.run, argv, environment, salt=self.salt)

    def changes(self, now: Record) -> list[str]:
        """What is different in `now`, one line each."""
        if self.digest == now.digest:
            return []
        if self.environment is None:
            return ["its settings changed"]
        old, new = _compared(self.argv, now.argv)
        found = [*_differences(old, new), *_differences(self.environment, now.environment or {})]
        return found or ["its arguments are in another order"]


def make(
    run: str, argv: Sequence[str], environment: Mapping[str, str], *, salt: str = "", who: str = ""
) -> Record:
    """The record of a start, with a new salt unless one is given."""
    salt = salt or secrets.token_hex(8)
    hidden = {name: hashed(name, value, salt) for name, value in environment.items()}
    argv = replaced(argv, lambda secret: hashed("", secret, salt))
    return Record(run, argv, hidden, salt, who=who)


def _older_digest(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    value = json.dumps(revealed([dict(environment), list(argv)]), sort_keys=True)
    return hashlib.sha256(value.encode()).hexdigest()


@dataclass(frozen=True)
class State:
    """What a node has of a cluster: `id` is the same on all its nodes, empty for an older
    sparkctl's; `nodes` are all its nodes with their host and SSH settings.
    """

    id: str = ""
    by: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    units: Mapping[str, Record] = field(default_factory=dict)


def state(facts: NodeFacts, service: str, node: str) -> State:
    """What was written on this node.

    `service` names the units of an older sparkctl. Raises Missing where the node's files could not
    be read or understood, or a newer sparkctl wrote them.
    """
    files = known(facts.state).files
    if APPLIED not in files:
        raise Missing(f"{APPLIED} could not be read", what=APPLIED, kind="missing", node=node)
    return parsed(files[APPLIED], service, node)


def parsed(text: str | None, service: str, node: str) -> State:
    """The same of the file's text, None where there is no file."""
    try:
        value: Any = jsontext.table(jsontext.load("{}" if text is None else text))
        if (schema := value.get("schema", 1)) not in (1, SCHEMA):
            raise newer(node, schema)
        if "units" not in value:
            return State(units=_oldest(value, service, node))
        if schema == 1:
            return State(units=_older(value["units"], service, node))
        units = _older(value.get("older", {}), service, node)
        units |= {str(name): _own(name, _record(unit)) for name, unit in value["units"].items()}
        nodes = {str(name): dict(node) for name, node in value["nodes"].items()}
        by = {str(k): str(v) for k, v in value["by"].items()}
        return State(str(value["id"]), by, nodes, units)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise damaged(node) from None


def damaged(node: str) -> Missing:
    """The error for a record that cannot be understood: whose cluster it is, is unknown then."""
    error = Missing(f"{APPLIED} is damaged", what=APPLIED, kind="failed", node=node)
    error.code = DAMAGED
    error.hint = "run `sparkctl down` to end what runs and remove it, then `sparkctl up`"
    return error


def ended(service: str) -> str:
    """The hint for a damaged record on a node of this service, one of several."""
    return (
        f"run `sparkctl down {service}`, or `sparkctl down` for all services, to end what runs and"
        " remove it, then `sparkctl up`"
    )


def newer(node: str, schema: object) -> Missing:
    """The error for a record that a newer sparkctl wrote."""
    error = Missing(
        f"{APPLIED} has unknown schema {schema!r} (this sparkctl reads up to {SCHEMA})",
        what=APPLIED,
        kind="malformed",
        node=node,
    )
    error.code = NEWER
    error.hint = "a newer sparkctl started this cluster; use it, or upgrade this one"
    return error


def records(facts: NodeFacts, node: str = "") -> dict[str, Record]:
    """The records of a node by the kind of unit (ray, vllm); raises as `state` does."""
    found = state(facts, "vllm", node).units
    return {kind_of(name): record for name, record in found.items()}


def _own(name: str, record: Record) -> Record:
    """The record if it is of the unit of this name. Raises ValueError."""
    unit = record.unit
    if not is_unit(name):
        raise ValueError(name)
    if unit is not None and (unit.id, unit.kind, unit.node) != (name, kind_of(name), node_of(name)):
        raise ValueError(name)
    return record


def _record(value: Mapping[str, Any]) -> Record:
    document = value.get("unit")
    return Record(
        run=str(value["run"]),
        argv=tuple(str(part) for part in value["argv"]),
        environment={str(k): str(v) for k, v in value["environment"].items()},
        salt=str(value["salt"]),
        unit=None if document is None else unit_of(document),
        phase=str(value.get("phase", READY if document is None else STARTING)),
        who=str(value.get("who", "")),
        since=_moment(value.get("since", 0)),
        log=str(value.get("log", "")),
        pid=int(value.get("pid") or 0),
        started=int(value.get("started") or 0),
    )


def _moment(value: Any) -> float:
    """Seconds since the epoch that a calendar has. Raises ValueError."""
    if not 0 <= (found := float(value)) < LATEST:
        raise ValueError(value)
    return found


def _older(units: Mapping[str, Any], service: str, node: str) -> dict[str, Record]:
    """The units of schema 1, which had one of each kind on a node."""
    found = {k: units[k] for k in OLDER if k in units}
    if any("environment" not in unit for unit in found.values()):
        return {
            f"{service}/0/{k}/{node}": Record(str(unit["run"]), older=str(unit["digest"]))
            for k, unit in found.items()
        }
    records = {f"{service}/0/{k}/{node}": _record(unit) for k, unit in found.items()}
    return {name: replace(r, unit=older.unit(name, r.argv)) for name, r in records.items()}


def _oldest(value: Mapping[str, Any], service: str, node: str) -> dict[str, Record]:
    """As sparkctl wrote it before there was a schema: digests, and the runs as "ray_run", …"""
    return {
        f"{service}/0/{kind}/{node}": Record(
            str(value[f"{kind}_run"]), older=str(value.get(kind, ""))
        )
        for kind in OLDER
        if f"{kind}_run" in value
    }


def _flags(argv: Sequence[str]) -> dict[str, list[str]]:
    """An argv's words by flag; what stands before the first one is the program, and what stands
    after one with `=`.
    """
    found: dict[str, list[str]] = {"program": []}
    name = "program"
    for part in argv:
        if part.startswith("--"):
            name, sign, value = part.partition("=")
            found.setdefault(name, []).extend([value] * bool(value))
            name = "program" if sign else name
        else:
            found[name].append(part)
    return found


def _compared(old: Sequence[str], new: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Two argvs by flag; of more than a few words of one flag those that differ."""
    before, after = _flags(old), _flags(new)
    for name in before.keys() & after.keys():
        less = [word for word in before[name] if word not in after[name]]
        more = [word for word in after[name] if word not in before[name]]
        if (less or more) and max(len(before[name]), len(after[name])) > FEW:
            before[name], after[name] = less, more
            if not (less and more):
                (after if less else before).pop(name)
    texts = [{flag: " ".join(words) for flag, words in one.items()} for one in (before, after)]
    return texts[0], texts[1]


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

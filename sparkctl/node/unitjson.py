"""Units as JSON, as the nodes keep them (state.py); pure.

Reading is strict: an unknown field or kind of Ready is of a release that this one does not know.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sparkctl.node import jsontext, units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.node.wire import Json

# How a Ready is named in JSON, under "kind".
KINDS: Mapping[str, type] = {
    "listens": units.Listens,
    "ray-nodes": units.RayNodes,
    "ray-ranks": units.RayRanks,
    "log-stages": units.LogStages,
    "generates": units.Generates,
}

INSIDE = "inside"


def document(unit: units.Unit) -> dict[str, Json]:
    """The unit as JSON; a secret in it that is a str with a mask is shown as that."""
    found: dict[str, Json] = _encoded(unit)
    return found


def unit_of(value: Json) -> units.Unit:
    """The unit of such a document. Raises ValueError for anything else."""
    found: units.Unit = _decoded(units.Unit, value)
    return found


def _encoded(value: Any) -> Any:
    if is_dataclass(value):
        kind = next((k for k, cls in KINDS.items() if type(value) is cls), None)
        found = {f.name: _encoded(getattr(value, f.name)) for f in fields(value)}
        if found.get(INSIDE) == []:  # earlier releases do not know it
            del found[INSIDE]
        return found if kind is None else {"kind": kind, **found}
    if isinstance(value, tuple):
        return [_encoded(part) for part in value]
    return dict(value) if isinstance(value, dict) else value


def _flag(value: Json) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _number(value: Json) -> float:
    number = jsontext.number(value)
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise ValueError("expected a number from 0")
    return number


def _whole(value: Json) -> int:
    if not isinstance(value, int) or _number(value) > 2**31:
        raise ValueError("expected a whole number")
    return value


def _one_of(*words: str) -> Callable[[Json], str]:
    def read(value: Json) -> str:
        if value not in words:
            raise ValueError(f"expected {' or '.join(words)}")
        return jsontext.text(value)

    return read


def _tuple(read: Callable[[Json], Any]) -> Callable[[Json], Any]:
    return lambda value: tuple(read(part) for part in jsontext.rows(value))


def _table(read: Callable[[Json], Any]) -> Callable[[Json], Any]:
    return lambda value: {key: read(part) for key, part in jsontext.table(value).items()}


def _ready(value: Json) -> Any:
    found = dict(jsontext.table(value))
    kind = found.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}")
    return _decoded(KINDS[kind], found)


def _reachable(value: Json) -> units.Listens | None:
    found = None if value is None else _ready(value)
    if not isinstance(found, (units.Listens, type(None))):
        raise ValueError("expected an address and a port")
    return found


def _decoded(cls: Any, value: Json) -> Any:
    found, readers = jsontext.table(value), FIELDS[cls]
    if unknown := sorted({*found} - {*readers}):
        raise ValueError(f"{cls.__name__}: unknown field {unknown[0]}")
    needed = {f.name for f in fields(cls) if f.default is f.default_factory is MISSING}
    if lacking := sorted(needed - {*found}):
        raise ValueError(f"{cls.__name__}: missing field {lacking[0]}")
    return cls(**{name: readers[name](part) for name, part in found.items()})


def _of(cls: Any) -> Callable[[Json], Any]:
    return partial(_decoded, cls)


_text = jsontext.text
FIELDS: Mapping[type, Mapping[str, Callable[[Json], Any]]] = {
    units.Need: {
        "unit": _text,
        "until": _one_of(units.ALONG, units.STARTED, units.REACHABLE, units.READY),
        "follows": _flag,
    },
    units.Member: {"node": _text, "what": _text, "count": _whole},
    units.Program: {
        "argv": _tuple(_text),
        "environment": _table(_text),
        "ends": _number,
        "inside": _tuple(_text),
    },
    units.Listens: {"address": _text, "port": _whole},
    units.RayNodes: {
        "address": _text,
        "python": _text,
        "nodes": _table(_number),
        "seconds": _number,
        "inside": _tuple(_text),
    },
    units.RayRanks: {
        "address": _text,
        "python": _text,
        "most": _table(_whole),
        "inside": _tuple(_text),
    },
    units.LogStages: {"engine": _text, "stall": _number},
    units.Generates: {"base": _text, "model": _text},
    units.Stop: {
        "grace": _number,
        "drain": _number,
        "last": _tuple(_text),
        "leader": _flag,
        "argv": _tuple(_text),
    },
    units.Unit: {
        "id": _text,
        "node": _text,
        "kind": _text,
        "title": _text,
        "group": _text,
        "program": _of(units.Program),
        "needs": _tuple(_of(units.Need)),
        "members": _tuple(_of(units.Member)),
        "reachable": _reachable,
        "ready": _tuple(_ready),
        "stop": _of(units.Stop),
        "digest": _text,
    },
}

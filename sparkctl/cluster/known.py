"""Facts that know what they lack: asking for what is not there is Missing, never a bug; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Missing(RemoteError):
    """What is needed was not gathered; its text is the reason."""


class Known(dict[str, Any]):
    """An object of a node's facts; `[key]` of one that is not there raises Missing.

    `get` is for what may well be absent.
    """

    def __init__(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]], path: str = "an answer"
    ) -> None:
        # Pairs without a path come from dataclasses.asdict, which copies each kind of dict so.
        super().__init__({k: guarded(v, f"{path}.{k}") for k, v in dict(values).items()})
        self._path = path

    def __missing__(self, key: str) -> Any:
        unread = self.get("unread")  # of whole groups, see node/probe.py
        why = unread.get(key) if isinstance(unread, dict) else None
        raise Missing(f"{self._path}.{key} could not be read" + (f": {why}" if why else ""))


def guarded(value: Any, path: str) -> Any:
    """The same facts, every object in them a Known one."""
    if isinstance(value, Known):
        return value
    if isinstance(value, dict):
        return Known(value, path)
    if isinstance(value, list):
        return [guarded(item, path) for item in value]
    return value

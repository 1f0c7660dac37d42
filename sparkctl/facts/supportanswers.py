"""The shape of what node/support.py answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from sparkctl.facts.answers import JournalEntry
from sparkctl.facts.shape import Count, Name, Rows, Shape, Text

# Of zlib and base64, for what cannot be compressed.
Packed = Annotated[str, Field(max_length=2**21, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class LogExcerpt(Shape):
    """The first and the last part of a unit's last log, of `size` bytes."""

    unit: Name
    path: Name
    size: Count
    begin: Packed
    end: Packed


class Support(Shape):
    """A node's logs and journal; `errors`: why one of them could not be read."""

    logs: Annotated[Rows[LogExcerpt], Field(max_length=64)]
    errors: Mapping[Name, Text]
    entries: Rows[JournalEntry]
    root: bool

"""stdout and stderr that let no control character of others' text through to a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from sparkctl.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Cleaning:
    """A text stream in front of another, which gets all text cleaned.

    It has no `buffer`, which click would write to instead.
    """

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner

    def write(self, text: str | bytes) -> int:
        """As TextIO.write; click writes what completes a shell's line as bytes."""
        self.inner.write(clean(text if isinstance(text, str) else text.decode()))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As TextIO.writelines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.inner, name)


@contextmanager
def cleaned() -> Iterator[None]:
    """Within it all that is printed is cleaned, whoever prints it; what rich draws, see console.py.

    That what a node said is printed somewhere cannot be forgotten here.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", Cleaning(raw(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def raw(stream: TextIO) -> TextIO:
    """The stream itself, for what is safe by other means; also below rich's live display."""
    stream = getattr(stream, "rich_proxied_file", stream)
    return stream.inner if isinstance(stream, Cleaning) else stream

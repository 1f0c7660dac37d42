"""stdout and stderr that escape control characters."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from sparkctl.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Cleaning:
    """A text stream that writes all text cleaned to another.

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
    """Within it all that is printed is cleaned, but for what rich draws (see console.py).

    So no caller can forget it for a text of a node.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", Cleaning(raw(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def raw(stream: TextIO) -> TextIO:
    """The stream itself, for text that is cleaned otherwise; also below rich's live display."""
    stream = getattr(stream, "rich_proxied_file", stream)
    return stream.inner if isinstance(stream, Cleaning) else stream

"""stdout and stderr that escape control characters."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO, cast

from sparkctl.errors import OutputError
from sparkctl.output.terminal import drawn, lacks
from sparkctl.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Checked:
    """stdout or stderr, whose failures have an error of their own.

    Raises OutputError where stdout cannot be written, and BrokenPipeError as it is. Where stderr
    cannot be written nothing can be said: the command goes on.
    """

    def __init__(self, inner: TextIO, *, stderr: bool) -> None:
        self._inner, self._stderr = inner, stderr
        self._lacks = lacks(inner)

    def write(self, text: str) -> int:
        """As TextIO.write; a terminal gets what its encoding has."""
        with self._failures():
            self._inner.write(drawn(text) if self._lacks else text)
        return len(text)

    def flush(self) -> None:
        """As TextIO.flush."""
        with self._failures():
            self._inner.flush()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._stderr:
                return
            raise OutputError(
                f"cannot write to stdout: {error.strerror}",
                hint="free space on the disk of the file that stdout goes to"
                if error.errno in (ENOSPC, EDQUOT)
                else None,
            ) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Cleaning:
    """A text stream that writes all text cleaned to another.

    It has no `buffer`, which click would write to instead.
    """

    def __init__(self, inner: Checked) -> None:
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
    if isinstance(stream := raw(sys.stdout), TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # as Python has it for stderr
    sys.stdout = cast("TextIO", Cleaning(Checked(raw(sys.stdout), stderr=False)))
    sys.stderr = cast("TextIO", Cleaning(Checked(raw(sys.stderr), stderr=True)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def raw(stream: TextIO) -> TextIO:
    """The stream itself, for text that is cleaned otherwise."""
    return cast("TextIO", stream.inner) if isinstance(stream, Cleaning) else stream

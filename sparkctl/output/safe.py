"""Texts for logs: without secrets and control characters."""

from __future__ import annotations

import traceback
from functools import lru_cache
from typing import TYPE_CHECKING

from sparkctl.secret.names import MASK, PRIVATE_KEY
from sparkctl.secret.text import LOOKED_AT, secretless
from sparkctl.secret.value import concealed
from sparkctl.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

# Libraries whose error messages quote the input, which may hold secrets of any form.
QUOTING = ("pydantic", "pydantic_core", "yaml")


def safe(text: str) -> str:
    """The text without secrets and control characters; only the beginning of a very long line."""
    return "\n".join(map(_masked, PRIVATE_KEY.sub(MASK, concealed(text)).split("\n")))


@lru_cache(maxsize=2048)  # masking takes some 0.3 ms, and most texts come several times
def _masked(line: str) -> str:
    rest = len(line) - LOOKED_AT
    more = f"… ({rest} more characters)" if rest > 0 else ""
    return clean(secretless(line[:LOOKED_AT]) + more)


def trace(error: BaseException) -> str:
    """The tracebacks of an error and its causes, the first cause first, as `safe` shows them."""
    parts = [_trace(each) for each in _causes(error)]
    return safe("\nwhich led to:\n".join(reversed(parts)))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, as Python chains them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        context = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or context


def _trace(error: BaseException) -> str:
    library = type(error).__module__.partition(".")[0]
    message = "(the message quotes the input)" if library in QUOTING else str(error)
    notes = getattr(error, "__notes__", [])
    frames = "".join(traceback.format_tb(error.__traceback__))
    begin = f"Traceback (most recent call last):\n{frames}" if frames else ""
    return begin + "\n".join([f"{type(error).__qualname__}: {message}", *notes])

"""Errors as tests expect them: by code, whatever the message says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sparkctl.errors import SparkctlError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def refused(code: str) -> Iterator[pytest.ExceptionInfo[SparkctlError]]:
    """The block raises a SparkctlError with this code."""
    with pytest.raises(SparkctlError) as caught:
        yield caught
    assert caught.value.code == code, caught.value

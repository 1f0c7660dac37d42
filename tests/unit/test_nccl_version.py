"""NCCL's versions as the user writes them."""

from __future__ import annotations

import pytest

from sparkctl.errors import UsageError
from sparkctl.fabric.version import Version, parse_version


@pytest.mark.parametrize(
    ("text", "version"), [("2.28.9", (2, 28, 9)), ("2.30", (2, 30)), ("2.30.07", (2, 30, 7))]
)
def test_a_version(text: str, version: Version) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    "text",
    ["", "2", "2.x", "2.28.9+cu13", "v2.28", "2.28.9.1", "2..9", "2.-1", "2.\N{SUPERSCRIPT TWO}"],
)
def test_no_version(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_version(text)
    assert (raised.value.code, raised.value.data) == ("nccl-version", {"value": text})
    assert raised.value.hint

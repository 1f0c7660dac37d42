"""A known failure of an engine, and the form of a table of them."""

from __future__ import annotations

from typing import NamedTuple

from sparkctl.text import keyed

Table = tuple[tuple[str, str], ...]  # pattern of one line, code


class Explanation(NamedTuple):
    """Why a start failed, as a stable code, and the remedy for people, in the form of text.KEY."""

    code: str
    remedy: str

    def text(self, key: str) -> str:
        """The remedy where the inventory has the settings at `key`."""
        return keyed(self.remedy, key)

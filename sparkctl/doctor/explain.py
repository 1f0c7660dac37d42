"""The documentation of each check: what it examines, why, how, the remedy, the source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True)
class Entry:
    """A check's documentation."""

    what: str
    why: str
    how: str
    remedy: str
    source: str


@cache
def entries() -> dict[str, Entry]:
    """All entries by check id, from checks.yaml."""
    text = (resources.files("sparkctl.doctor") / "checks.yaml").read_text(encoding="utf-8")
    # libyaml's takes a tenth of the time, which the completion of a check's id has not.
    loaded = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # a safe loader
    return {name: Entry(**fields) for name, fields in loaded.items()}

"""Facts of which a part is missing."""

from __future__ import annotations

import json

import pytest

from sparkctl.cluster.known import Missing, guarded
from sparkctl.errors import SparkctlError

FACTS = {"ib": {"a": {"ports": [{"state": None}]}}, "unread": {"gpu": "TimeoutError: 6 s"}}


def test_what_is_there_reads_as_before() -> None:
    known = guarded(FACTS, "spark-1")
    assert known == FACTS
    assert json.loads(json.dumps(known)) == FACTS
    assert known["ib"]["a"]["ports"][0]["state"] is None
    assert known["ib"].get("b") is None
    assert guarded(known, "x") is known


def test_what_is_not_there_is_an_error_with_its_place_and_reason() -> None:
    known = guarded(FACTS, "spark-1")
    with pytest.raises(Missing, match=r"^spark-1\.ib\.a\.pci could not be read$"):
        known["ib"]["a"]["pci"]
    with pytest.raises(SparkctlError, match=r"^spark-1\.gpu could not be read: TimeoutError: 6 s$"):
        known["gpu"]

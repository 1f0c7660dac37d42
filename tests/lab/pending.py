"""Marks the tests that wait for units in operations/ (issue 10)."""

from __future__ import annotations

import pytest

from tests.lab.toy import REBUILT

needs_units = pytest.mark.skipif(not REBUILT, reason="operations/ does not work on units yet")

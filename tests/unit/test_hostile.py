"""A sample of the bench of harmed answers, inventories and env layers (tests/bench/hostile.py)."""

from __future__ import annotations

import pytest

from tests.bench import hostile

# The whole bench takes some ten minutes; seeds that once found something are in the sample.
ANSWERS = [2, 4, 101, 116, 207, 5090, *range(54)]


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_harmed_answers_are_errors_of_their_nodes(first: int) -> None:
    assert [f for seed in ANSWERS[first : first + 15] for f in hostile.answers(seed)] == []


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_harmed_inventories_are_refused_line_by_line(first: int) -> None:
    assert [f for seed in range(first, first + 20) for f in hostile.inventories(seed)] == []


def test_harmed_layers_are_refused_line_by_line() -> None:
    assert [f for seed in range(40) for f in hostile.layers(seed)] == []

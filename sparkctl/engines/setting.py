"""A variable's value in a node's environment, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """A value, a Secret if it is one, and the layer that it comes from.

    `literal`: what looks like a reference in it is none.
    """

    value: str
    layer: str
    literal: bool = False

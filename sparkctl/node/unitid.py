"""A unit's id, `service/replica/kind/node`, such as `vllm/0/ray/spark-1`; pure."""

from __future__ import annotations


def is_unit(name: str) -> bool:
    """Whether a name has the form of a unit's id."""
    return name.count("/") == 3 and all(name.split("/"))


def service_of(unit: str) -> str:
    """The service in a unit's or replica's id."""
    return unit.partition("/")[0]


def replica_of(unit: str) -> str:
    """service/replica of a unit's id."""
    return unit.rsplit("/", 2)[0]


def kind_of(unit: str) -> str:
    """The kind in a unit's id, or the whole of what is only a kind."""
    return unit.rsplit("/", 2)[-2] if "/" in unit else unit


def node_of(unit: str) -> str:
    """The node in a unit's id."""
    return unit.rpartition("/")[2]

"""The part of a node's fabric that is used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FabricChoice:
    """One cable's two halves on a node.

    `interfaces[0]` is the socket interface and `address` its IPv4; `hcas` are both halves' RDMA
    devices (empty where there is none), `addresses` each interface's IPv4 with its prefix length.
    """

    address: str
    interfaces: tuple[str, ...]
    hcas: tuple[str, ...]
    addresses: tuple[str, ...]

"""Ray's nodes and placement groups in its GCS's own words, read without importing ray.

Importing ray takes one to two seconds, and its dashboard serves HTTP only where ray[default] is
installed. Field numbers are those of gcs.proto and gcs_service.proto (Ray 2.52 to 2.60, read and
run with 2.60); protobuf never gives a number another meaning. What does not look like that is
grpc.Foreign, and the caller then asks through ray itself.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import grpc, jsontext, protobuf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.wire import Answer, Json

NODES = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
GROUPS = "/ray.rpc.PlacementGroupInfoGcsService/GetAllPlacementGroup"
VALUE = "/ray.rpc.InternalKVGcsService/InternalKVGet"
METADATA = {1: b"CLUSTER_METADATA", 2: b"cluster"}  # key, namespace
ALIVE = 0
STATES = ("PENDING", "PREPARED", "CREATED", "REMOVED", "RESCHEDULING")
ANSWER = 10.0  # seconds for one answer; it takes milliseconds


class Gcs:
    """The GCS at an address; `environment` says how it authenticates."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        self._address = address
        self._token = token(environment)

    def _ask(self, method: str, message: bytes = b"") -> protobuf.Fields:
        answer = grpc.call(self._address, method, message, token=self._token, timeout=ANSWER)
        try:
            return protobuf.decode(answer)
        except ValueError as error:
            raise grpc.Foreign(f"{method}: {error}") from error

    def nodes(self) -> list[Answer]:
        """Each node that joined: id, address, hostname, alive, gpus (0 for a dead one).

        Raises as grpc.call.
        """
        return [_node(protobuf.decode(protobuf.data(n))) for n in self._ask(NODES).get(2, [])]

    def groups(self) -> list[Answer]:
        """Each placement group: state, bundle to node id, bundle to GPUs. Raises as grpc.call."""
        return [_group(protobuf.decode(protobuf.data(g))) for g in self._ask(GROUPS).get(2, [])]

    def version(self) -> str:
        """The version of the Ray that runs. Raises as grpc.call."""
        found = self._ask(VALUE, protobuf.encode(METADATA)).get(2, [b"null"])
        return jsontext.text(jsontext.table(jsontext.load(protobuf.data(found[0])))["ray_version"])


def token(environment: Mapping[str, str]) -> str:
    """The token that Ray takes in this environment (Ray 2.60, authentication); empty for none."""
    if environment.get("RAY_AUTH_MODE", "token").lower() != "token":
        return ""
    if given := environment.get("RAY_AUTH_TOKEN", ""):
        return given
    path = environment.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    try:
        return Path(path).readprotobuf.text().strip()
    except FileNotFoundError:
        return ""


def _node(fields: protobuf.Fields) -> Answer:
    alive = fields.get(7, [0])[0] == ALIVE
    return {
        "id": protobuf.data(fields[1][0]).hex(),
        "address": protobuf.text(fields[2][0]),
        "hostname": protobuf.text(fields.get(8, fields[2])[0]),
        "alive": alive,
        "gpus": _gpus(fields.get(11, [])) if alive else 0.0,
    }


def _group(fields: protobuf.Fields) -> Answer:
    bundles: dict[str, Json] = {}
    gpus: dict[str, Json] = {}
    for entry in fields.get(3, []):
        bundle = protobuf.decode(protobuf.data(entry))
        index = str(protobuf.decode(protobuf.data(bundle[1][0])).get(2, [0])[0])
        bundles[index] = protobuf.data(bundle.get(3, [b""])[0]).hex()
        gpus[index] = _gpus(bundle.get(2, []))
    state = fields.get(5, [0])[0]
    return {"state": STATES[protobuf.number(state)], "bundles": bundles, "gpus": gpus}


def _gpus(resources: list[protobuf.Value]) -> float:
    """The GPUs in a map from a resource's name to its amount."""
    for entry in resources:
        pair = protobuf.decode(protobuf.data(entry))
        if pair.get(1) == [b"GPU"]:
            amount: float = struct.unpack("<d", protobuf.data(pair.get(2, [bytes(8)])[0]))[0]
            return amount
    return 0.0

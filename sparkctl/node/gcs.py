"""Ray's nodes and placement groups in its GCS's own words, read without importing ray.

Importing ray takes one to two seconds, and its dashboard serves HTTP only where ray[default] is
installed. Field numbers are those of gcs.proto and gcs_service.proto (Ray 2.60, read and
run with 2.60); protobuf never gives a number another meaning. The caller asks through ray
itself where the answer is another.
"""

from __future__ import annotations

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
        return protobuf.decode(answer)

    def nodes(self) -> list[Answer]:
        """Each node that joined: id, address, hostname, alive, gpus (0 for a dead one).

        Raises OSError when nothing answers in time, ValueError or LookupError for another answer.
        """
        return [_node(fields) for fields in protobuf.messages(self._ask(NODES), 2)]

    def groups(self) -> list[Answer]:
        """Each placement group: state, bundle to node id, bundle to GPUs. Raises as `nodes`."""
        return [_group(fields) for fields in protobuf.messages(self._ask(GROUPS), 2)]

    def version(self) -> str:
        """The version of the Ray that runs. Raises as `nodes`."""
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
        return Path(path).expanduser().read_text().strip()
    except FileNotFoundError:
        return ""


def _node(fields: protobuf.Fields) -> Answer:
    alive = fields.get(7, [0])[0] == ALIVE
    return {
        "id": protobuf.data(fields[1][0]).hex(),
        "address": protobuf.text(fields[2][0]),
        "hostname": protobuf.text(fields.get(8, fields[2])[0]),
        "alive": alive,
        "gpus": _gpus(protobuf.messages(fields, 11)) if alive else 0.0,
    }


def _group(fields: protobuf.Fields) -> Answer:
    bundles: dict[str, Json] = {}
    gpus: dict[str, Json] = {}
    for bundle in protobuf.messages(fields, 3):
        (name,) = protobuf.messages(bundle, 1)
        index = str(name.get(2, [0])[0])
        bundles[index] = protobuf.data(bundle.get(3, [b""])[0]).hex()
        gpus[index] = _gpus(protobuf.messages(bundle, 2))
    state = protobuf.number(fields.get(5, [0])[0])
    return {"state": STATES[state], "bundles": bundles, "gpus": gpus}


def _gpus(resources: list[protobuf.Fields]) -> float:
    """The GPUs in a map from a resource's name to its amount."""
    for pair in resources:
        if pair.get(1) == [b"GPU"]:
            return protobuf.double(pair[2][0])
    return 0.0

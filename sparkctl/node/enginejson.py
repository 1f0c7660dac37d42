"""What docker and podman print as JSON, as the facts that sparkctl needs; each raises ValueError
for what it does not understand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import jsontext
from sparkctl.node.containertools import CLUSTER, UNIT, USER, image_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.wire import Json

LONGEST = 500  # characters of a name that somebody else gave
NVIDIA = "nvidia.com/gpu"  # the kind of CDI devices
NO_GPU = ("", "none", "void")  # values of NVIDIA_VISIBLE_DEVICES that give none


class Foreign(ValueError):
    """Another engine answered."""


class About(NamedTuple):
    """An engine; `rootless` is None for the engine of whoever calls it, which has no daemon.

    `errors`: why the client could not ask the daemon.
    """

    version: str | None
    rootless: bool | None
    errors: list[str]


def about(tool: str, printed: str) -> About:
    """What `docker info` or `podman version` prints. Raises Foreign for podman called docker."""
    found = jsontext.table(jsontext.load(printed))
    if tool == "podman":
        client = jsontext.table(found.get("Client"))
        return About(_name(client.get("Version")), None, [])
    if "host" in found and "store" in found:
        raise Foreign(tool)
    errors = [e for e in _list(found.get("ServerErrors")) if isinstance(e, str) and e.strip()]
    rootless = "name=rootless" in _list(found.get("SecurityOptions"))
    return About(_name(found.get("ServerVersion")), rootless, errors)


def image(printed: str) -> dict[str, Json]:
    """An image of `image inspect`."""
    found = jsontext.rows(jsontext.load(printed))
    if len(found) != 1:
        raise ValueError(f"expected one image, got {len(found)}")
    row = jsontext.table(found[0])
    return {
        "id": image_id(jsontext.text(row.get("Id"))),
        "digests": [name for each in _list(row.get("RepoDigests")) if (name := _name(each))],
        "architecture": _name(row.get("Architecture")) or "unknown",
        "size": _count(row.get("Size")),
    }


def containers(printed: str) -> list[dict[str, Json]]:
    """The containers of `container inspect`."""
    return [_container(jsontext.table(row)) for row in jsontext.rows(jsontext.load(printed))]


def _container(row: Mapping[str, Json]) -> dict[str, Json]:
    state, host = _table(row.get("State")), _table(row.get("HostConfig"))
    config = _table(row.get("Config"))
    labels = _table(config.get("Labels"))
    return {
        "id": jsontext.text(row.get("Id")),
        "name": (_name(row.get("Name")) or "").lstrip("/") or "unnamed",
        "image": image_id(jsontext.text(row.get("Image"))),
        "state": _name(state.get("Status")) or "unknown",
        "pid": _count(state.get("Pid")),
        "cluster": _name(labels.get(CLUSTER)),
        "unit": _name(labels.get(UNIT)),
        "user": _name(labels.get(USER)),
        # podman: "" for none.
        "restart": _name(_table(host.get("RestartPolicy")).get("Name")) or "no",
        "memory": _count(host.get("Memory")),
        "gpu": _has_gpu(host, config),
    }


def _has_gpu(host: Mapping[str, Json], config: Mapping[str, Json]) -> bool:
    """Whether it has the GPU: docker's --gpus or --runtime nvidia, a CDI device, a device file."""
    for each in map(_table, _list(host.get("DeviceRequests"))):
        kinds = [kind for kinds in _list(each.get("Capabilities")) for kind in _list(kinds)]
        named = [str(device) for device in _list(each.get("DeviceIDs"))]
        if "gpu" in kinds or any(device.startswith(NVIDIA) for device in named):
            return True
    paths = [_table(device).get("PathOnHost") for device in _list(host.get("Devices"))]
    if any(str(path).startswith(("/dev/nvidia", NVIDIA)) for path in paths):
        return True
    if host.get("Runtime") == "nvidia":
        variables = dict(str(v).partition("=")[::2] for v in _list(config.get("Env")))
        return variables.get("NVIDIA_VISIBLE_DEVICES", "") not in NO_GPU
    # podman 4.3 shows a CDI device only in the command line.
    return any(NVIDIA in str(word) for word in _list(config.get("CreateCommand")))


def _table(value: Json) -> Mapping[str, Json]:
    """An object; nothing in place of null or another value."""
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _name(value: Json) -> str | None:
    """Text that somebody else gave, on one line; None for none."""
    if not isinstance(value, str):
        return None
    return "".join(c if c.isprintable() else "?" for c in value[:LONGEST]) or None


def _count(value: Json) -> int:
    return value if type(value) is int and value >= 0 else 0

"""The free room where a container engine keeps images, and an archive while it loads one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import jsontext
from sparkctl.node.subprocesses import start
from sparkctl.node.timeout import bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.imagewire import ImageRoom
    from sparkctl.node.wire import Answer, Json

SECONDS = 20.0  # `podman info` asks dpkg for packages
# containerd's own folder, where docker keeps images with containerd's image store (29: by default).
CONTAINERD = "/var/lib/containerd"
SNAPSHOTTER = "io.containerd.snapshotter.v1"


def room(request: ImageRoom) -> Answer:
    """For `images` and for an `archive`: the folder's path, its device and its free bytes.

    `scratch`: whether the engine's program itself writes the archive, below TMPDIR; docker's daemon
    does. Raises OSError where the engine does not answer.
    """
    try:
        about = jsontext.table(jsontext.load(start(request["argv"]).finish(SECONDS)))
        images, archive, scratch = (_podman if "store" in about else _docker)(about)
    except ValueError as error:
        raise OSError(f"{request['argv'][0]} info is not understood: {error}") from None
    return {"images": _place(images), "archive": _place(archive), "scratch": scratch}


def _docker(about: Mapping[str, Json]) -> tuple[str, str, bool]:
    root = jsontext.text(about.get("DockerRootDir"))
    pairs = about.get("DriverStatus")
    contained = isinstance(pairs, list) and ["driver-type", SNAPSHOTTER] in pairs
    return (CONTAINERD if contained else root), root, False


def _podman(about: Mapping[str, Json]) -> tuple[str, str, bool]:
    store = jsontext.table(about.get("store"))
    archive = store.get("imageCopyTmpDir") or os.environ.get("TMPDIR") or "/var/tmp"
    return jsontext.text(store.get("graphRoot")), jsontext.text(archive), True


def _place(path: str) -> Answer:
    return bounded(lambda: _measured(Path(path)), SECONDS)


def _measured(path: Path) -> Answer:
    """Of the nearest folder that is there: what is missing is made in it."""
    near = next(each for each in (path, *path.parents) if each.is_dir())
    room = os.statvfs(near)
    return {"path": str(near), "device": near.stat().st_dev, "free": room.f_bavail * room.f_frsize}

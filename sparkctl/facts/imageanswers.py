"""The shapes of what node/imageroom.py and node/imagestream.py answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sparkctl.facts.shape import Count, Flag, Name, Port, Rows, Shape, Text

# Why a transfer failed on one of its nodes: the sender could not be reached, or is another; the
# stream broke; the engine did not save or load the image.
Failure = Literal["unconnected", "refused", "broken", "unsaved", "unloaded"]


class Place(Shape):
    """A folder, the device that it is on, and its free bytes."""

    path: Name
    device: Count
    free: Count


class Room(Shape):
    """Where an engine keeps images, and an archive meanwhile; `scratch`: see node/imageroom.py."""

    images: Place
    archive: Place
    scratch: Flag


class Streamed(Shape):
    """An event of a transfer: the sender's `ports`, or how many `bytes` have arrived. Its end: the
    `image` (an Id) that was loaded, or which receivers were `lost` and why, or the `error`.
    """

    ports: Rows[Port] | None = None
    bytes: Count | None = None
    loading: Flag = False
    image: Name | None = None
    lost: Mapping[Name, Text] | None = None
    error: Failure | None = None
    reason: Text = ""

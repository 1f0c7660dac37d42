"""The container engines of a node, as the probe gives them (node/containers.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sparkctl.facts.shape import Count, Flag, Name, Rows, Shape, Text, Uid

# Why an engine cannot be used: it is not installed, the login may not, the daemon does not answer.
EngineProblem = Literal["", "absent", "denied", "stopped", "failed"]


class Image(Shape):
    """An image: its Id ("sha256:…"), the digests that registries know it by, its size in bytes."""

    id: Name
    digests: Rows[Name]
    architecture: Name
    size: Count


class Container(Shape):
    """A container: `image` is an Id, `pid` the node's pid of its first process (0: none), `memory`
    its limit in bytes (0: none), `gpu` whether it has the GPU; the labels of sparkctl, if any.
    """

    id: Name
    name: Name
    image: Name
    state: Name
    pid: Count
    cluster: Name | None
    unit: Name | None
    user: Name | None
    restart: Name
    memory: Count
    gpu: Flag


class ContainerEngine(Shape):
    """docker or podman: its version, the image that was asked for (None: not there), and all
    containers that the login may see. With a `problem` they are unread, for the `reason`.
    """

    version: Name | None
    rootless: Flag
    problem: EngineProblem
    reason: Text
    image: Image | None
    containers: Rows[Container]


class Containers(Shape):
    """The engines that were asked, by name; `gid` and `groups` of the login, and whether the node
    has /dev/infiniband.
    """

    gid: Uid
    groups: Rows[Uid]
    infiniband: Flag
    engines: Mapping[Name, ContainerEngine]

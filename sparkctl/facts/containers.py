"""The container engines of a node, as the probe gives them (node/containers.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sparkctl.facts.groups import Verbs
from sparkctl.facts.shape import Bits, Count, Flag, Limit, Name, Rows, Shape, Text, Uid

# Why an engine cannot be used: it is not installed, the login may not, the daemon does not answer.
EngineProblem = Literal["", "absent", "denied", "stopped", "failed"]
# Why a path to mount is not there: the login may not look, its file system does not answer.
MountProblem = Literal["", "absent", "denied", "failed"]
# Why a container did not start.
BoxProblem = Literal["", "no-toolkit", "no-cdi", "unloaded", "failed"]
# Why nvidia-smi gave no answer inside; "revoked": the container has lost the GPU since its start.
InsideGpuProblem = Literal[
    "absent", "timeout", "mismatch", "unloaded", "no-devices", "revoked", "failed"
]


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
    """The engines that were asked, by name; `gid` and `groups` of the login, whether the node has
    /dev/infiniband, and the paths of runtime.mounts as the inventory has them.
    """

    gid: Uid
    groups: Rows[Uid]
    infiniband: Flag
    mounts: Mapping[Text, MountProblem]
    engines: Mapping[Name, ContainerEngine]


class Inside(Shape):
    """What a process in a container has (node/inbox.py): the GPUs that nvidia-smi lists, the files
    /dev/nvidia*, RDMA, its limit of locked memory in bytes and its capabilities.
    """

    gpus: Rows[Text] | None
    gpu_error: Text | None
    gpu_problem: InsideGpuProblem | None
    devices: Rows[Name]
    verbs: Verbs
    memlock: Limit
    capabilities: Bits | None


class BoxLook(Shape):
    """A look into a container, or why it did not start (node/boxlook.py)."""

    problem: BoxProblem
    reason: Text
    inside: Inside | None

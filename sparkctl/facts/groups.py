"""The groups of a probe's answer; what each means is in node/probe.py."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from sparkctl.facts.shape import (
    Bits,
    CommandLine,
    Count,
    Digits,
    Gid,
    Ipv4,
    Ipv6,
    Limit,
    Name,
    Pid,
    Rows,
    Seconds,
    Shape,
    Text,
    Uid,
    Whole,
)

Texts = Mapping[Text, Text]
Counters = Mapping[Name, Mapping[Name, Count]]


class GidSlot(Shape):
    """A filled slot of a port's GID table."""

    index: Count
    gid: Gid
    type: Name | None
    ndev: Name | None


class RdmaPort(Shape):
    """A port of an RDMA device, as /sys/class/infiniband has it."""

    state: Name | None
    phys_state: Name | None
    rate: Name | None
    link_layer: Name | None
    gids: Rows[GidSlot]


class RdmaDevice(Shape):
    """An RDMA device: its network interfaces, PCI address and ports by number."""

    netdevs: Rows[Name]
    pci: Name | None
    guid: Name | None
    ports: Mapping[Digits, RdmaPort] = Field(min_length=1)


class Interface(Shape):
    """A network interface; `speed` is in Mb/s."""

    mtu: Count | None
    up: bool
    operstate: Name | None
    carrier: Whole | None
    speed: Whole | None  # the kernel has -1 for unknown
    address: Name | None
    phys_port_name: Text | None  # empty where the driver has none to give
    pci: Name | None
    pcie_speed: Name | None
    pcie_width: Name | None
    ipv4: Rows[Ipv4]
    ipv6: Rows[Ipv6]


class Limits(Shape):
    """The limits of a login; -1 is none."""

    memlock: Limit
    nofile: Limit


class System(Shape):
    """The kernel, its command line, and what a login has."""

    kernel: Text | None
    cmdline: Text | None
    limits: Limits
    capabilities: Bits | None
    remove_ipc: bool | None
    linger: bool


class Disk(Shape):
    """The file system at a path, in bytes."""

    path: Name
    free: Count | None
    total: Count | None


class Uverbs(Shape):
    """A uverbs device, and why it cannot be opened."""

    path: Name
    error: Text | None


class Verbs(Shape):
    """The uverbs devices by RDMA device, and the user space libraries."""

    uverbs: Mapping[Name, Uverbs]
    library: Text | None
    providers: Rows[Name]


class Assignment(Shape):
    """A variable that a shell profile sets."""

    path: Name
    line: Count
    name: Name
    value: Text


class NcclFile(Shape):
    """A configuration file of NCCL."""

    path: Name
    values: Texts


class Settings(Shape):
    """What sets NCCL's and Ray's variables on the node."""

    session: Texts
    profiles: Rows[Assignment]
    conf: Rows[NcclFile]
    conf_file: Name


class NetworkFile(Shape):
    """A file that configures interfaces at boot; `sets`: it is a script that sets addresses."""

    path: Name
    addresses: Rows[Name]
    interfaces: Rows[Name]
    dhcp: bool
    link_local: bool
    sets: bool | None = None


class Persistence(Shape):
    """How the addresses are configured at boot."""

    files: Rows[NetworkFile]
    unread: Rows[Name]


class Build(Shape):
    """What identifies a file's content: its Build ID in hex, if it has one, and its size."""

    id: Name | None
    bytes: Count

    def __str__(self) -> str:
        return f"Build ID {self.id}" if self.id else f"{self.bytes} bytes"


class NcclLibrary(Shape):
    """A libnccl file; what could not be read of it is None."""

    version: Name | None
    build: Build | None


class Libibverbs(Shape):
    """Where the loader finds libibverbs, and rdma-core's providers, such as mlx5."""

    path: Name | None
    providers: Rows[Name]


class Installed(Shape):
    """What a runtime has installed; versions by distribution, `nccl` the libnccl files by path
    (None in older answers). Of an image: libibverbs, and its variables that change the fabric.
    """

    python: Name | None
    programs: Mapping[Name, bool]
    versions: Mapping[Name, Name]
    nccl: Mapping[Name, NcclLibrary] | None = None
    libibverbs: Libibverbs | None = None
    environment: Texts = Field(default_factory=dict)


class Runtime(Installed):
    """The virtual environment `venv`, `real` without links; or the `image` as the inventory names
    it, with its `id`, and the prefix of its Python as `real`. `exists`: it is there.
    """

    venv: Name | None = None
    image: Name | None = None
    id: Name | None = None
    real: Name | None = None
    exists: bool

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.image or self.venv or "the runtime"


class ModelConfig(Shape):
    """The model's config.json, wherever vLLM would find it."""

    path: Name | None
    architectures: Rows[Name] | None
    model_type: Name | None
    error: Text | None


class Listener(Shape):
    """A socket that listens on one of our TCP ports."""

    port: Count
    uid: Uid
    user: Text
    pid: Pid | None
    command: CommandLine | None
    cluster: Text


class ForeignRay(Shape):
    """A process of a Ray that is not this cluster's."""

    pid: Pid
    uid: Uid
    command: CommandLine
    cluster: Text


class Holder(Shape):
    """Who has the lease on the cluster."""

    who: Text
    when: Text
    why: Text
    expires_in: Seconds | None


class Owner(Shape):
    """An account; `user` is empty where there is none of that uid."""

    uid: Uid
    user: Text


class Claim(Owner):
    """A process of another account whose mark has this cluster's name."""

    pid: Pid
    cluster: Text
    run: Text


class State(Shape):
    """What a cluster has left on the node; `temp_dir_owner` is None if there is no such directory.

    `others`: processes of another account's cluster of the same name, 20 at most.
    """

    exists: bool
    path: Name
    temp_dir: bool
    lease: Holder | None
    files: Mapping[Name, str | None]
    uid: Uid | None = None
    temp_dir_owner: Owner | None = None
    others: Rows[Claim] = ()

"""The shape of a probe's answer, group by group; what each means is in node/probe.py."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sparkctl.facts.shape import (
    Bits,
    CommandLine,
    Count,
    Digits,
    Flag,
    Gid,
    Ipv4,
    Ipv6,
    Limit,
    Name,
    Pid,
    Seconds,
    Shape,
    Text,
    Time,
    Uid,
    Whole,
)

Texts = dict[Text, Text]
Counters = dict[Name, dict[Name, Count]]


class Scalars(Shape):
    """What every answer has, however much of the rest could not be read."""

    hostname: Name
    user: Name
    uid: Uid
    home: Name
    time: Time
    time_end: Time
    machine: Name
    os: Text
    python: Name
    unread: dict[Name, Text]


class GidSlot(Shape):
    index: Count
    gid: Gid
    type: Name | None
    ndev: Name | None


class RdmaPort(Shape):
    state: Name | None
    phys_state: Name | None
    rate: Name | None
    link_layer: Name | None
    gids: list[GidSlot]


class RdmaDevice(Shape):
    netdevs: list[Name]
    pci: Name | None
    guid: Name | None
    ports: dict[Digits, RdmaPort] = Field(min_length=1)


class Interface(Shape):
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
    ipv4: list[Ipv4]
    ipv6: list[Ipv6]


class Limits(Shape):
    memlock: Limit
    nofile: Limit


class System(Shape):
    kernel: Text | None
    cmdline: Text | None
    limits: Limits
    capabilities: Bits | None
    remove_ipc: bool | None
    linger: bool


class Disk(Shape):
    path: Name
    free: Count | None
    total: Count | None


class Uverbs(Shape):
    path: Name
    error: Text | None


class Verbs(Shape):
    uverbs: dict[Name, Uverbs]
    library: Text | None
    providers: list[Name]


class Assignment(Shape):
    path: Name
    line: Count
    name: Name
    value: Text


class NcclFile(Shape):
    path: Name
    values: Texts


class Settings(Shape):
    session: Texts
    profiles: list[Assignment]
    conf: list[NcclFile]
    conf_file: Name


class NetworkFile(Shape):
    path: Name
    addresses: list[Name]
    interfaces: list[Name]
    dhcp: bool
    link_local: bool


class Persistence(Shape):
    files: list[NetworkFile]
    unread: list[Name]


class Runtime(Shape):
    venv: Name
    exists: bool
    python: Name | None
    programs: dict[Name, bool]
    versions: dict[Name, Name]


class HubModel(Shape):
    is_path: Literal[False]


class BrokenShard(Shape):
    name: Name
    wanted: Whole | None
    found: Count


class UnreadableShard(Shape):
    name: Name
    uid: Uid
    user: Text
    mode: Name


class Checkpoint(Shape):
    is_path: Literal[True]
    path: Name
    exists: bool
    config: bool
    shards: Count
    bytes: Count
    missing: list[Text]
    broken: list[BrokenShard]
    unreadable: list[UnreadableShard]
    digest: Name


class ModelConfig(Shape):
    path: Name | None
    architectures: list[Name] | None
    model_type: Name | None
    error: Text | None


class Process(Shape):
    pid: Pid
    ppid: Count
    started: Count
    state: Name
    command: CommandLine
    cluster: Text
    run: Text
    role: Text
    uid: Uid


class OurProcess(Process):
    """With what a rank alone has: `memlock`, `capabilities`, `uverbs`."""

    since: Time
    environment: Texts | None
    libraries: dict[Text, Name | None] | None
    memlock: Limit | None = None
    capabilities: Bits = 0
    uverbs: list[Name] | None = None


class Listener(Shape):
    port: Count
    uid: Uid
    user: Text
    pid: Pid | None
    command: CommandLine | None
    cluster: Text


class ForeignRay(Shape):
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


class State(Shape):
    exists: bool
    path: Name
    temp_dir: bool
    lease: Holder | None
    files: dict[Name, str | None]


class Gpu(Shape):
    name: Name
    driver: Name


class GpuProcess(Shape):
    pid: Pid
    name: Text


class Gpus(Shape):
    gpus: list[Gpu] | None
    gpu_error: Text | None
    gpu_processes: list[GpuProcess] | None


GROUPS: dict[str, Any] = {
    "ib": dict[Name, RdmaDevice],
    "net": dict[Name, Interface],
    "memory": dict[Name, Count],
    "system": System,
    "disk": dict[Name, Disk],
    "sudo": Flag,
    "verbs": Verbs,
    "counters": Counters,
    "settings": Settings,
    "persistence": Persistence,
    "people": list[Name],
    "runtime": Runtime,
    "model": HubModel | Checkpoint,
    "model_config": ModelConfig,
    "ports": list[Listener],
    "ours": list[OurProcess],
    "foreign_rays": list[ForeignRay],
    "state": State,
    "gpu": Gpus,
}

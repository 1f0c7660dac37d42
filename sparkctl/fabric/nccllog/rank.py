"""What one process printed of its network, kept record by record in bounded memory; pure.

A process is one rank here, as on all nodes with one GPU. Line forms: NCCL's src/init.cc,
src/plugin/net.cc and src/transport/net_ib.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import warnings
from sparkctl.fabric.nccllog.errors import Fault, fault
from sparkctl.fabric.nccllog.model import Evidence
from sparkctl.fabric.nccllog.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.fabric.nccllog.lines import Record

LINES_A_MARK = 3
KEYS = 64  # the most communicators, networks and devices that are kept
SETTINGS = {
    "NCCL_IB_DISABLE",
    "NCCL_IB_GID_INDEX",
    "NCCL_IB_HCA",
    "NCCL_NET",
    "NCCL_NET_PLUGIN",
    "NCCL_SOCKET_IFNAME",
}

# With what follows the number, or it may be torn.
VERSION = re.compile(r"NCCL version ([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})(?=\+)")
# After the communicator or the function, or it may be torn from another rank's line.
RANK = re.compile(
    r"(?:comm 0x\w+|:) rank ([0-9]{1,9}) n[rR]anks ([0-9]{1,9})(?: nNodes ([0-9]{1,9}))?"
)
COMMUNICATOR = re.compile(r" commId (0x[0-9a-f]{1,16}) ")
SETTING = re.compile(r"(NCCL_[A-Z_]+) set (?:by environment )?to (.*)")
NETWORK = re.compile(r"(?:Using network|Assigned NET plugin) (.+?)(?: to comm)?$")
CHANNEL = re.compile(r" via NET/([^/]{1,80})/([0-9]{1,9})")
LOCAL = re.compile(r" via (?:P2P|SHM|direct shared memory)")
# [0]rocep1s0f0:1/RoCE, [0]a+b:1/RoCE, and of 2.20 to 2.23 [0]={[0] a:1/RoCE, [1] b:1/RoCE}.
DEVICE = re.compile(r"\[([0-9]{1,9})\](?:=\{([^}]*)\}|([^\s:\[\]]+):([0-9]{1,9})/)")
MEMBER = re.compile(r"\] ([^\s:]+):([0-9]{1,9})/")
VIRTUAL = re.compile(r"Made virtual device \[([0-9]{1,9})\] name=(\S+)")
INTERFACE = re.compile(r"\[([0-9]{1,9})\]([^\s:\[\]]+):")

# Lines whose presence is all that counts: the mark, and how they begin.
MARKS = (
    ("begin", "cudaDriverVersion"),
    ("begin", "ENV/Plugin: "),
    ("begin", "Bootstrap"),
    ("bootstrap", "Bootstrap: Using"),
    ("bootstrap", "Bootstrap : Using"),
    ("no-device", "NET/IB : No device found"),
    ("no-libibverbs", "Failed to open libibverbs"),
    ("no-libibverbs", "Count not open libibverbs"),
    ("no-libibverbs", "Could not open libibverbs"),
    ("denied", "Call to ibv_open_device failed"),
    ("denied", "NET/IB : Unable to open device"),
    ("ib-failed", "Failed to initialize NET plugin IB"),
    ("socket-initialized", "Initialized NET plugin Socket"),
    ("ib", "NET/IB"),
)


@dataclass
class Channels:
    """The number of channel lines that name a network's device, and the first of them."""

    count: int
    first: Evidence


@dataclass
class RankState:
    """What the verdict on a process is based on.

    `size` and `nodes` are those of its largest communicator, 0 if unknown. `devices` and
    `interfaces` are the names of the indexes in `via NET/IB/0` and `via NET/Socket/0`; a merged
    device has several names. `count` is the number of its records, `informs` whether any is an
    INFO. `spans` are the first and the last line of them in each file, `starts` the number of
    starts that the file shows before. `engine` is the vLLM engine that started it, `origins` the
    process as Ray's prefixes name it.
    """

    host: str
    pid: int
    rank: int | None = None
    size: int = 0
    nodes: int = 0
    version: str | None = None
    communicators: set[str] = field(default_factory=set)
    devices: dict[int, tuple[str, ...]] = field(default_factory=dict)
    interfaces: dict[int, tuple[str, ...]] = field(default_factory=dict)
    networks: dict[str, Evidence] = field(default_factory=dict)
    channels: dict[tuple[str, int], Channels] = field(default_factory=dict)
    local: Evidence | None = None
    folded: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    retrying: Fault | None = None
    connected: bool = False
    tree: Tree = field(default_factory=Tree)
    count: int = 0
    informs: bool = False
    threads: set[int] = field(default_factory=set)
    engine: tuple[str, int] | None = None
    origins: set[str] = field(default_factory=set)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    marks: dict[str, list[Evidence]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """host:pid, as NCCL writes it."""
        return f"{self.host}:{self.pid}"

    def feed(self, record: Record, file: str, line: int) -> None:
        """Read the next record, which is in `file` at `line`."""
        evidence = Evidence(file, line, record.text, record.start)
        message = record.message
        self._belongs(record, file, line)
        for needle, handle in HANDLERS:
            if needle in message:
                handle(self, record, evidence)
        for name, beginning in MARKS:
            if message.startswith(beginning):
                self.mark(name, evidence)
        self.tree.take(message)
        if message.startswith("Connected all"):
            self.retrying, self.connected = None, True
        elif found := self.tree.fault(fault(record.level, message), message, self.nodes):
            self._fault(found, evidence)
        elif record.level == "WARN" and (mark := warnings.mark(message)):
            self.mark(mark, evidence)

    def _belongs(self, record: Record, file: str, line: int) -> None:
        self.count += 1
        self.informs = self.informs or record.level == "INFO"
        self.engine = self.engine or record.engine
        if len(self.threads) < KEYS:
            self.threads.add(record.tid)
        if record.origin and len(self.origins) < KEYS:
            self.origins.add(record.origin)
        self.spans[file] = (self.spans.get(file, (line, line))[0], line)

    @property
    def cut(self) -> bool:
        """Whether the log lacks what NCCL prints first; nothing shows it under NCCL_DEBUG=WARN."""
        return self.informs and "begin" not in self.marks and "version" not in self.marks

    @property
    def release(self) -> tuple[int, ...] | None:
        """The version as numbers."""
        return tuple(int(part) for part in self.version.split(".")) if self.version else None

    def take_version(self, version: str, evidence: Evidence) -> None:
        """Keep the version, unless there is one already."""
        if self.version is None:
            self.version = version
            self.mark("version", evidence)

    def mark(self, mark: str, evidence: Evidence) -> None:
        """Keep a line as evidence, unless there are enough of its kind."""
        lines = self.marks.setdefault(mark, [])
        if len(lines) < LINES_A_MARK:
            lines.append(evidence)

    def _fault(self, found: Fault, evidence: Evidence) -> None:
        self.mark(found.cause, evidence)
        if found.retried:
            self.retrying = found
        else:
            known = self.faults.setdefault(found.cause, found)
            if found.fatal and not known.fatal:
                self.faults[found.cause] = found

    def _version(self, record: Record, evidence: Evidence) -> None:
        if version := VERSION.search(record.message):
            self.take_version(version[1], evidence)

    def _communicator(self, record: Record, _: Evidence) -> None:
        if rank := RANK.search(record.message):
            # Of several communicators the largest names the rank.
            if int(rank[2]) > self.size:
                self.rank, self.size = int(rank[1]), int(rank[2])
            self.nodes = max(self.nodes, int(rank[3] or 0))
        if (identity := COMMUNICATOR.search(record.message)) and len(self.communicators) < KEYS:
            self.communicators.add(identity[1])

    def _setting(self, record: Record, evidence: Evidence) -> None:
        setting = SETTING.match(record.message)
        if setting and setting[1] in SETTINGS:
            # Of a torn line less of the value is left.
            if not self.settings.get(setting[1], "").startswith(setting[2]):
                self.settings[setting[1]] = setting[2]
            self.settings.setdefault(setting[1], setting[2])
            self.mark(setting[1], evidence)

    def _network(self, record: Record, evidence: Evidence) -> None:
        network = NETWORK.match(record.message)
        if network and len(self.networks) < KEYS:
            self.networks.setdefault(network[1], evidence)

    def _channel(self, record: Record, evidence: Evidence) -> None:
        if channel := CHANNEL.search(record.message):
            key = (channel[1], int(channel[2]))
            self.folded = self.folded or record.folded
            if key in self.channels:
                self.channels[key].count += 1
            elif len(self.channels) < KEYS:
                self.channels[key] = Channels(1, evidence)
        elif self.local is None and LOCAL.search(record.message):
            self.local = evidence

    def _devices(self, record: Record, evidence: Evidence) -> None:
        line, oob, _ = record.message.partition("; OOB")
        if not oob:
            return  # torn: the rest may name more devices
        found = list(DEVICE.finditer(line))
        if found:
            self.mark("devices", evidence)
        elif "no-device" not in self.marks:
            self.mark("no-device", evidence)  # from 2.24 NCCL prints the line without a device too
        for device in found:
            if device[2] is None:
                names = [_ported(name, device[4]) for name in device[3].split("+")]
            else:
                names = [_ported(m[1], m[2]) for m in MEMBER.finditer(device[2])]
            self._name(self.devices, device[1], names)

    def _virtual(self, record: Record, _: Evidence) -> None:
        if (virtual := VIRTUAL.search(record.message)) and "+" in virtual[2]:
            self._name(self.devices, virtual[1], virtual[2].split("+"))

    def _interfaces(self, record: Record, _: Evidence) -> None:
        for interface in INTERFACE.finditer(record.message):
            self._name(self.interfaces, interface[1], [interface[2]])

    @staticmethod
    def _name(table: dict[int, tuple[str, ...]], index: str, names: list[str]) -> None:
        if len(table) < KEYS:
            table[int(index)] = tuple(names)


def _ported(name: str, port: str) -> str:
    """The device's name, with its port unless that is 1."""
    return name if port == "1" else f"{name}:{port}"


HANDLERS: tuple[tuple[str, Callable[[RankState, Record, Evidence], None]], ...] = (
    ("NCCL version ", RankState._version),
    (" rank ", RankState._communicator),
    (" set ", RankState._setting),
    ("Using network ", RankState._network),
    ("Assigned NET plugin ", RankState._network),
    (" via ", RankState._channel),
    ("NET/IB : Using", RankState._devices),
    ("Made virtual device", RankState._virtual),
    ("NET/Socket : Using", RankState._interfaces),
)

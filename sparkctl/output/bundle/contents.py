"""What is in a support bundle: every text masked, and named where it is left out."""

from __future__ import annotations

import getpass
import json
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.doctor.masking import masking
from sparkctl.errors import SparkctlError
from sparkctl.facts.unread import Unread
from sparkctl.operations.support.controller import routes, run_logs, start_logs, versions
from sparkctl.output import documents, runlog
from sparkctl.output.bundle.file import archive
from sparkctl.output.bundle.readme import readme
from sparkctl.output.bundle.seal import Seal
from sparkctl.output.plan import forecast_document, forecast_text
from sparkctl.output.report.page import hosts, page, people
from sparkctl.output.report.withheld import unmaskable, withhold
from sparkctl.plan.paths import APPLIED
from sparkctl.secret.value import HASHED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.forecast import Forecast
    from sparkctl.doctor.masking import Masking
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.node import NodeFacts
    from sparkctl.operations.status import Status
    from sparkctl.operations.support.excerpt import Excerpt
    from sparkctl.operations.support.nodes import NodeSide
    from sparkctl.output.bundle.file import Archive

LARGEST = 2**20  # characters of a JSON file before it is masked
LOGS = 32 * 2**20  # characters of all logs
SECONDS = 120  # for masking them: it takes 2 s a MB, of a hostile one 10
UNNAMED = "the accounts could not be read, so their names cannot be masked"
UNSALTED = frozenset({"salt", "digest"})  # of a record: by them a short secret can be guessed
UNFIT = re.compile(r"[^A-Za-z0-9._-]")  # in a file's name: a unit may be of a node's record
LONGEST = 100  # characters of one
WHO = re.compile(r"([^@\s]+)@([^\s@()]+)")  # of a lease, and of what was started


@dataclass
class Gathered:
    """What the bundle is made of; `left_out`: what could not be had, and why; `failed`: the nodes
    that could not be read.
    """

    snapshot: Snapshot
    findings: Sequence[Finding]
    undecided: Mapping[str, str]
    status: Status | None = None
    forecast: Forecast | None = None
    sides: Mapping[str, NodeSide] = field(default_factory=dict)
    failed: Mapping[str, SparkctlError] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def named(cluster: str, now: float) -> str:
    """The name of a bundle's folder, and of its file."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"sparkctl-support-{cluster}-{stamp}"


def write_bundle(path: Path, found: Gathered, now: float) -> None:
    """Write the bundle to `path`; what is left out is added to `found.left_out`.

    Raises UsageError where a file is there, SparkctlError where it cannot be written.
    """
    seal = Seal(_masks(found))
    with archive(path, seal.text(named(found.snapshot.inventory.cluster, now)), now) as into:
        for name, text in Contents(found, seal).files():
            _add(into, seal.text(name), text, found)
        _add(into, "README.txt", readme(found, seal, now), found)


def _add(into: Archive, name: str, text: str, found: Gathered) -> None:
    if not into.add(name, text):
        found.left_out[name] = "the bundle is full"


def _masks(found: Gathered) -> Masking:
    """Every name that is known: of people and hosts, of the nodes and of this machine."""
    snapshot = found.snapshot
    users, called = {*people(snapshot), getpass.getuser()}, hosts(snapshot)
    others: set[str] = set()
    for facts in snapshot.all_facts.values():
        for user, host in WHO.findall(_whos(facts)):
            users.add(user)
            others.add(host)
    for node, (user, names) in routes(snapshot.inventory).items():
        users.add(user)
        called.setdefault(node, set()).update(names)
    gone = {host for node, host in _recorded(snapshot) if node not in called}
    words = {"another-machine": others, "controller": {socket.gethostname()}, "departed-node": gone}
    homes = [str(Path.home()), *(facts.home for facts in snapshot.all_facts.values())]
    return masking(users, words | called, homes)


def _whos(facts: NodeFacts) -> str:
    """The texts that name who started something, or holds the lease."""
    if isinstance(facts.state, Unread):
        return ""
    record = facts.state.files.get(APPLIED) or ""
    return f"{facts.state.lease.who if facts.state.lease else ''}\n{record}".replace('"', " ")


def _recorded(snapshot: Snapshot) -> set[tuple[str, str]]:
    """The cluster's nodes with their hosts, as the nodes have recorded them."""
    try:
        nodes = (one for there in snapshot.observed.states.values() for one in there.nodes.items())
        return {(name, str(node.get("host", ""))) for name, node in nodes}
    except SparkctlError:  # of a newer sparkctl
        return set()


class Contents:
    """The files of a bundle by name, but for the README; what is left out is noted in `found`."""

    def __init__(self, found: Gathered, seal: Seal) -> None:
        self._found, self._seal = found, seal
        self._left, self._snapshot = found.left_out, found.snapshot
        self._room, self._until = LOGS, time.monotonic() + SECONDS

    def files(self) -> Iterator[tuple[str, str]]:
        """Every file, masked; a node's whose accounts are unknown are left out."""
        found, snapshot, seal = self._found, self._snapshot, self._seal
        unnamed = unmaskable(snapshot)
        findings = withhold(found.findings, unnamed)
        for name in unnamed:
            self._left |= {f"facts, journal and logs of {name}": UNNAMED}
            self._left |= dict.fromkeys(("plan", "status.json"), f"{name}: {UNNAMED}")
        yield "doctor.html", page(snapshot, found.findings, seal.masks)
        listed = documents.of_findings(snapshot.inventory, findings, found.undecided, None, 0)
        yield from self._json("doctor.json", listed)
        if found.forecast and not unnamed:
            yield "plan.txt", seal.text(forecast_text(found.forecast))
            yield from self._json("plan.json", forecast_document(found.forecast))
        if found.status and not unnamed:
            yield from self._json("status.json", documents.of_status(found.status))
        loaded = {"inventory": snapshot.inventory, "layers": snapshot.layers}
        yield from self._json("inventory.json", loaded)
        yield from self._controller()
        for node in snapshot.inventory.nodes:
            if node.name not in unnamed:
                yield from self._node(node.name)
        yield from self._of_starts(unnamed)

    def _controller(self) -> Iterator[tuple[str, str]]:
        yield from self._json("controller/versions.json", versions())
        runlog.path()  # writes what is buffered of this run's
        known = {(node.name, node.host) for node in self._snapshot.inventory.nodes}
        logs, errors = run_logs(known | _recorded(self._snapshot))
        self._left |= {f"controller/{name}": why for name, why in errors.items()}
        for name, log in logs.items():
            yield from self._log(f"controller/{name}", log)

    def _of_starts(self, unnamed: Collection[str]) -> Iterator[tuple[str, str]]:
        """The logs of failed starts that this machine kept; last, as there may be many."""
        logs, errors = start_logs(self._snapshot.inventory)
        self._left |= errors
        for (node, name), log in logs.items():
            if node not in unnamed:
                yield from self._log(f"logs/{node}/{name}", log)

    def _node(self, node: str) -> Iterator[tuple[str, str]]:
        facts, side = self._snapshot.all_facts.get(node), self._found.sides.get(node)
        record = None
        if facts:
            there = facts
            if not isinstance(facts.state, Unread):
                without = facts.state.model_copy(update={"files": {}})
                there = facts.model_copy(update={"state": without})
                record = self._record(facts.state.files.get(APPLIED), node)
            yield from self._json(f"facts/{node}.json", there)
            yield f"logs/{node}/kernel.log", self._seal.text(_kernel(facts))
        if side:
            journal: dict[str, object] = {"entries": side.journal, "root": side.of_root}
            journal |= {"record": record, "logs": side.paths}
            yield from self._json(f"journal/{node}.json", journal)
            for unit, log in side.logs.items():
                name = UNFIT.sub("-", unit.rpartition("/")[0])[:LONGEST]
                yield from self._log(f"logs/{node}/{name}.log", log)
            self._left |= {f"{what} of {node}": why for what, why in side.errors.items()}

    def _record(self, text: str | None, node: str) -> object:
        """What the node has recorded, without what a secret can be guessed by."""
        try:
            return _unsalted(json.loads(text or "null"))
        except (ValueError, RecursionError):
            self._left[f"record of {node}"] = "it is damaged"
            return None

    def _log(self, name: str, log: Excerpt) -> Iterator[tuple[str, str]]:
        """A log, as long as there is room and time."""
        self._room -= len(log.begin) + len(log.end)
        if self._room < 0:
            self._left[name] = f"the bundle has {LOGS // 2**20} MB of logs already"
        elif time.monotonic() > self._until:
            self._left[name] = f"the logs took over {SECONDS} s already"
        else:
            text = self._seal.text(log.begin)
            if log.left_out:
                text += f"\n[… {log.left_out} bytes are left out here …]\n\n"
                text += self._seal.text(log.end)
            yield name, text

    def _json(self, name: str, value: object) -> Iterator[tuple[str, str]]:
        """A JSON file, unless it is too large."""
        try:
            if len(json.dumps(value, default=_measured)) > LARGEST:
                self._left[name] = f"it has over {LARGEST // 2**20} MB"
                return
            yield name, json.dumps(self._seal.value(value), indent=1, ensure_ascii=False) + "\n"
        except RecursionError:
            self._left[name] = "it is nested too deeply"


def _measured(value: object) -> object:
    """A value as JSON has it, to know how long it is."""
    return value.model_dump() if hasattr(value, "model_dump") else str(value)


def _kernel(facts: NodeFacts) -> str:
    """The errors of the GPU's driver in the kernel's log, or why that is not known."""
    log = facts.kernel_log
    if isinstance(log, Unread) or log.error:
        return f"{log if isinstance(log, Unread) else log.error}\n"
    since = "since boot" if log.complete else "not back to boot"
    head = f"{log.source}, {since}: {log.count} lines of the GPU's driver, errors by kind:\n"
    rows = (f"{row.at:.0f} {row.text} (x{row.count})\n" for row in log.lines)
    return head + ("".join(rows) or "none\n")


def _unsalted(value: object) -> object:
    if isinstance(value, dict):
        return {k: _unsalted(v) for k, v in value.items() if k not in UNSALTED}
    if isinstance(value, list):
        return [_unsalted(item) for item in value]
    return "****" if isinstance(value, str) and HASHED in value else value

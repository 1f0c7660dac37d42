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
from sparkctl.facts.unread import Unread
from sparkctl.operations.support.controller import routes, run_logs, versions
from sparkctl.output import documents, runlog
from sparkctl.output.bundlefile import archive
from sparkctl.output.bundlenote import readme
from sparkctl.output.html import hosts, page, people
from sparkctl.output.plan import forecast_document, forecast_text
from sparkctl.output.sealed import Seal
from sparkctl.output.withheld import note, unmaskable, withhold
from sparkctl.plan.paths import APPLIED
from sparkctl.secret.value import HASHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.forecast import Forecast
    from sparkctl.doctor.masking import Masking
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import SparkctlError
    from sparkctl.facts.node import NodeFacts
    from sparkctl.operations.status import Status
    from sparkctl.operations.support.excerpt import Excerpt
    from sparkctl.operations.support.nodes import NodeSide
    from sparkctl.output.bundlefile import Archive

LARGEST = 4 * 2**20  # characters of a JSON file before it is masked
UNSALTED = frozenset({"salt", "digest"})  # of a record: by them a short secret can be guessed
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
        for name, text in _files(found, seal):
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
    here = {"controller": {socket.gethostname()}}
    homes = [str(Path.home()), *(facts.home for facts in snapshot.all_facts.values())]
    return masking(users, {"another-machine": others, **here, **called}, homes)


def _whos(facts: NodeFacts) -> str:
    """The texts that name who started something, or holds the lease."""
    if isinstance(facts.state, Unread):
        return ""
    record = facts.state.files.get(APPLIED) or ""
    return f"{facts.state.lease.who if facts.state.lease else ''}\n{record}".replace('"', " ")


def _files(found: Gathered, seal: Seal) -> Iterator[tuple[str, str]]:
    """The files by name, but for the README; a node's whose accounts are unknown are left out."""
    snapshot = found.snapshot
    unnamed = unmaskable(snapshot)
    findings = withhold(found.findings, unnamed)
    if unnamed:
        found.left_out |= {f"facts, journal and logs of {n}": note(n) for n in unnamed}
        found.left_out |= dict.fromkeys(("plan", "status.json"), note(unnamed[0]))
    yield "doctor.html", page(snapshot.inventory, findings, seal.masks, [*map(note, unnamed)])
    listed = documents.of_findings(snapshot.inventory, findings, found.undecided, None, 0)
    yield from _json("doctor.json", listed, found, seal)
    if found.forecast and not unnamed:
        yield "plan.txt", seal.text(forecast_text(found.forecast))
        yield from _json("plan.json", forecast_document(found.forecast), found, seal)
    if found.status and not unnamed:
        yield from _json("status.json", documents.of_status(found.status), found, seal)
    layers = [{"name": layer.name, "values": layer.values} for layer in snapshot.layers]
    loaded = {"inventory": snapshot.inventory, "layers": layers}
    yield from _json("inventory.json", loaded, found, seal)
    for node in snapshot.inventory.nodes:
        if node.name not in unnamed:
            yield from _of_node(node.name, found, seal)
    yield from _json("controller/versions.json", versions(), found, seal)
    runlog.path()  # writes what is buffered of this run's
    logs, errors = run_logs()
    found.left_out |= {f"controller/{name}": why for name, why in errors.items()}
    for name, log in logs.items():
        yield f"controller/{name}", _excerpt(log, seal)


def _of_node(node: str, found: Gathered, seal: Seal) -> Iterator[tuple[str, str]]:
    facts, side = found.snapshot.all_facts.get(node), found.sides.get(node)
    if facts:
        there = facts.model_dump(by_alias=True)
        record = None
        if not isinstance(facts.state, Unread):
            there["state"] = facts.state.model_dump(exclude={"files"})
            record = _record(facts.state.files.get(APPLIED), node, found)
        yield from _json(f"facts/{node}.json", there, found, seal)
        if not isinstance(facts.kernel_log, Unread):
            rows = facts.kernel_log.lines
            lines = "".join(f"{row.at:.0f} {row.text} (x{row.count})\n" for row in rows)
            yield f"logs/{node}/kernel.log", seal.text(lines)
    if side:
        journal = {
            "entries": side.journal,
            "root": side.of_root,
            "record": record if facts else None,
            "logs": side.paths,
        }
        yield from _json(f"journal/{node}.json", journal, found, seal)
        for unit, log in side.logs.items():
            service = unit.rpartition("/")[0].replace("/", "-")
            yield f"logs/{node}/{service}.log", _excerpt(log, seal)
        found.left_out |= {f"{what} of {node}": seal.text(why) for what, why in side.errors.items()}


def _record(text: str | None, node: str, found: Gathered) -> object:
    """What the node has recorded, without what a secret can be guessed by."""
    try:
        return _unsalted(json.loads(text or "null"))
    except (ValueError, RecursionError):
        found.left_out[f"record of {node}"] = "it is damaged"
        return None


def _unsalted(value: object) -> object:
    if isinstance(value, dict):
        return {k: _unsalted(v) for k, v in value.items() if k not in UNSALTED}
    if isinstance(value, list):
        return [_unsalted(item) for item in value]
    return "****" if isinstance(value, str) and HASHED in value else value


def _excerpt(log: Excerpt, seal: Seal) -> str:
    begin = seal.text(log.begin)
    if not log.left_out:
        return begin
    return f"{begin}\n[… {log.left_out} bytes are left out here …]\n\n{seal.text(log.end)}"


def _json(name: str, value: object, found: Gathered, seal: Seal) -> Iterator[tuple[str, str]]:
    """A JSON file, unless it is too large."""
    try:
        if len(json.dumps(value, default=vars_of)) > LARGEST:
            raise OverflowError
        yield name, json.dumps(seal.value(value), indent=1, ensure_ascii=False) + "\n"
    except (OverflowError, RecursionError):
        found.left_out[name] = "it is too large"


def vars_of(value: object) -> object:
    """A value as JSON has it, only to measure it."""
    return value.model_dump() if hasattr(value, "model_dump") else str(value)

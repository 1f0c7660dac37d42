"""What can be asked of a node: each function of sparkctl/node, and the shape of its answer.

Whether it changes the node, and how long it may take, is in node/calls.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sparkctl.facts import (
    answers,
    containers,
    groups,
    imageanswers,
    installanswers,
    peeranswers,
    supportanswers,
)
from sparkctl.facts.node import Claimed, NodeFacts
from sparkctl.facts.shape import Name

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """`target` is module.function of sparkctl/node; `answer` is the type T_co, for pydantic."""

    target: str
    answer: Any = field(hash=False, compare=False)


BELONGINGS: Call[groups.State] = Call("belongings.belongings", groups.State)
BOX_LOOK: Call[containers.BoxLook] = Call("boxlook.look", containers.BoxLook)
CLAIM: Call[Claimed] = Call("claim.claim", Claimed)
CHANGE: Call[answers.Nothing] = Call("journal.change", answers.Nothing)
CLUSTERS: Call[answers.Clusters] = Call("clusters.clusters", answers.Clusters)
COMPLETION: Call[answers.Completion] = Call("completion.ask", answers.Completion)
CLEAR: Call[answers.Cleared] = Call("stop.clear", answers.Cleared)
REMOVE: Call[answers.Removed] = Call("stop.remove", answers.Removed)
STOP: Call[answers.Stopped] = Call("stop.stop", answers.Stopped)
READ_FILES: Call[Mapping[str, str | None]] = Call("files.read", Mapping[Name, str | None])
WRITE_FILES: Call[answers.Changed] = Call("files.write", answers.Changed)
FOLLOW: Call[answers.Followed] = Call("follow.follow", answers.Followed)
IDLE: Call[answers.Idle] = Call("idle.idle", answers.Idle)
READ_JOURNAL: Call[answers.Journal] = Call("journal.read", answers.Journal)
TAKE_BACK: Call[answers.TakenBack] = Call("journal.take_back", answers.TakenBack)
IMAGE_ROOM: Call[imageanswers.Room] = Call("imageroom.room", imageanswers.Room)
RECEIVE_IMAGE: Call[imageanswers.Streamed] = Call("imagestream.receive", imageanswers.Streamed)
SEND_IMAGE: Call[imageanswers.Streamed] = Call("imagestream.send", imageanswers.Streamed)
IMPORTS: Call[Mapping[str, answers.Import]] = Call("imports.imports", Mapping[Name, answers.Import])
IN_BOX: Call[containers.Inside] = Call("inbox.read", containers.Inside)
IN_IMAGE: Call[groups.Installed] = Call("inimage.read", groups.Installed)
INSTALL_BEGIN: Call[installanswers.Begun] = Call("install.begin", installanswers.Begun)
INSTALL_ENDED: Call[installanswers.Built] = Call("install.ended", installanswers.Built)
INSTALL_FINISH: Call[installanswers.Moved] = Call("install.finish", installanswers.Moved)
INSTALL_LOOK: Call[installanswers.VenvLooked] = Call("install.look", installanswers.VenvLooked)
RUN: Call[answers.Ran] = Call("launch.run", answers.Ran)
START: Call[answers.Started] = Call("launch.start", answers.Started)
FREE_LEASE: Call[answers.Stale] = Call("lease.free", answers.Stale)
RELEASE_LEASE: Call[answers.Nothing] = Call("lease.release", answers.Nothing)
RENEW_LEASE: Call[answers.LeaseRenewed] = Call("lease.renew", answers.LeaseRenewed)
STALE_LEASE: Call[answers.Stale] = Call("lease.stale", answers.Stale)
TAKE_LEASE: Call[answers.LeaseTaken] = Call("lease.take", answers.LeaseTaken)
LOOK: Call[answers.Looked] = Call("look.look", answers.Looked)
RECALL: Call[answers.Recalled] = Call("look.recall", answers.Recalled)
NCCL_LINES: Call[answers.Lines] = Call("nccllines.lines", answers.Lines)
PEERS: Call[peeranswers.Peers] = Call("peers.peers", peeranswers.Peers)
PREPARE: Call[answers.Prepared] = Call("prepare.prepare", answers.Prepared)
PROBE: Call[NodeFacts] = Call("probe.probe", NodeFacts)
RAY_TABLE: Call[answers.Failed | answers.RayTable] = Call(
    "raytable.table", answers.Failed | answers.RayTable
)
FORGET: Call[answers.Forgotten] = Call("state.forget", answers.Forgotten)
JOIN: Call[answers.Joined] = Call("state.join", answers.Joined)
UNTIL: Call[answers.Waited] = Call("waits.until", answers.Waited)
RAY_IMPORTED: Call[answers.Failed | answers.RayTable] = Call(
    "raytable.imported", answers.Failed | answers.RayTable
)
RECOVER: Call[answers.TakenBack] = Call("settle.recover", answers.TakenBack)
SGLANG_LINE: Call[answers.Parsed] = Call("sglangline.parse", answers.Parsed)
SETTLE: Call[answers.Changed] = Call("settle.settle", answers.Changed)
SUPPORT: Call[supportanswers.Support] = Call("support.read", supportanswers.Support)
REMOVE_BOX: Call[answers.Nothing] = Call("transient.remove", answers.Nothing)
COUNTERS: Call[groups.Counters] = Call("verbs.counters", groups.Counters)

CALLS = (
    BELONGINGS,
    BOX_LOOK,
    CLAIM,
    CHANGE,
    CLUSTERS,
    COMPLETION,
    CLEAR,
    REMOVE,
    STOP,
    READ_FILES,
    WRITE_FILES,
    FOLLOW,
    IDLE,
    READ_JOURNAL,
    TAKE_BACK,
    IMAGE_ROOM,
    RECEIVE_IMAGE,
    SEND_IMAGE,
    IMPORTS,
    IN_BOX,
    IN_IMAGE,
    INSTALL_BEGIN,
    INSTALL_ENDED,
    INSTALL_FINISH,
    INSTALL_LOOK,
    RUN,
    START,
    FREE_LEASE,
    RELEASE_LEASE,
    RENEW_LEASE,
    STALE_LEASE,
    TAKE_LEASE,
    LOOK,
    RECALL,
    NCCL_LINES,
    PEERS,
    PROBE,
    RAY_TABLE,
    FORGET,
    JOIN,
    UNTIL,
    RAY_IMPORTED,
    PREPARE,
    RECOVER,
    SETTLE,
    SGLANG_LINE,
    SUPPORT,
    REMOVE_BOX,
    COUNTERS,
)

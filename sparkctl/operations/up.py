"""`up`: from what runs to what the inventory describes, in the fewest sound steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sparkctl.engines.vllm.rules import warnings
from sparkctl.errors import PreflightError
from sparkctl.facts.answers import Failed
from sparkctl.facts.unread import known
from sparkctl.inventory.layers import load_layers
from sparkctl.node import modelpath
from sparkctl.operations import health, steps
from sparkctl.operations.api import endpoint, recorded_model
from sparkctl.operations.lease import hold
from sparkctl.operations.look import Ray, look, prepare
from sparkctl.operations.run import Run, Step, perform
from sparkctl.plan.desired import Wish, make_wish
from sparkctl.plan.diff import Difference, compare, processes
from sparkctl.plan.placement import misplaced
from sparkctl.plan.record import records

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.doubts import Doubt
    from sparkctl.events import Reporter
    from sparkctl.operations.session import Session

STEPS = (
    Step("stop vLLM", steps.stop_vllm, steps.has_vllm_to_stop),
    Step("stop the rest of Ray", steps.stop_ray, steps.has_ray_to_stop),
    Step("write the environment", steps.write_files, lambda r: bool(r.difference.ray_nodes)),
    Step("start the Ray head", steps.start_head, steps.starts_head),
    Step("start the Ray workers", steps.start_workers, steps.starts_workers),
    Step("wait for Ray's node table", steps.wait_for_ray),
    Step("start vLLM", steps.start_vllm, lambda r: r.difference.vllm),
)


@dataclass(frozen=True)
class Outlook:
    """What `up` would do: the desired state, the changes that lead to it, and what they stop."""

    wish: Wish
    difference: Difference
    doubts: tuple[Doubt, ...]
    stops: str | None = None  # the model of a vLLM that runs, served or not, and would be stopped
    ends: str | None = None  # the same where it may be served now


@dataclass(frozen=True)
class UpReport:
    """What `up` did: the changes, none where nothing differed, and each step's seconds."""

    cluster: str
    endpoint: str
    model: str
    changes: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()


def desire(session: Session) -> Wish:
    """The desired state of the nodes, which are probed unless their facts are known.

    Raises the first node's error, or PreflightError when the fabric cannot be derived.
    """
    nodes = session.inventory.nodes
    steps.check_all(session.probe(nodes))
    return make_wish(session.inventory, load_layers(session.inventory, session.base), session.facts)


def up(
    session: Session,
    reporter: Reporter,
    *,
    preflight: Callable[[Session], None] = lambda _: None,
    consent: Callable[[Outlook], None] = lambda _: None,
    keep: bool = False,
    break_lock: bool = False,
) -> UpReport:
    """Bring the cluster up.

    Everything is read under the lease, so that nobody changes it meanwhile. `consent` is called
    before a model that is served is stopped, `preflight` before anything is started. Raises what
    they raise, LockedError when another command holds the lease, ServingError or RemoteError after
    the rollback (none with `keep`).
    """
    nodes = session.inventory.nodes
    with hold(session, reporter.note, "up", nodes, force=break_lock, read=True, meanwhile=prepare):
        found = outlook(session, reporter, preflight=preflight)
        if found.ends is not None:
            reporter.end()
            consent(found)
        run = Run(session, found.wish, found.difference, reporter, stops=found.stops or "")
        if found.difference:
            reporter.step("check the nodes")
            preflight(session)
            perform(run, STEPS, keep=keep)
    return replace(report(session, found.difference, run.seconds), doubts=found.doubts)


def outlook(
    session: Session,
    reporter: Reporter,
    *,
    preflight: Callable[[Session], None] = lambda _: None,
) -> Outlook:
    """What `up` would do now, and why; only reads. Changes and doubts are reported as notes.

    Raises as `desire` does; where the fabric cannot be derived, first what `preflight` raises,
    which names every failure.
    """
    reporter.step("read the nodes' facts")
    try:
        wish = desire(session)
    except PreflightError:
        preflight(session)
        raise
    if wish.recipe.unknown:
        reporter.note(str(wish.recipe))
    for doubt in (doubts := doubtful(wish)):
        reporter.note(f"warning: {doubt}")
    difference = compare(wish, session.facts)
    serves: bool | None = None
    if not difference:
        reporter.step("check that the model is served")
        unsound, vllm, serves = _unsound(session, wish, reporter)
        difference = compare(wish, session.facts, unsound=unsound, vllm=vllm)
    stops, ends = _stopped(session, difference), None
    if stops:
        ends = stops if serves or (serves is None and _serves(session)) else None
    for change in difference.changes:
        reporter.note(str(change))
    return Outlook(wish, difference, tuple(doubts), stops, ends)


def doubtful(wish: Wish) -> list[Doubt]:
    """The doubtful settings of all nodes, each once."""
    found = [
        doubt
        for part in wish.nodes.values()
        for doubt in warnings(wish.inventory, part.values, wish.recipe)
    ]
    return list(dict.fromkeys(found))


def report(session: Session, difference: Difference, seconds: dict[str, float]) -> UpReport:
    """The endpoint as this machine reaches it, and the changes."""
    inventory = session.inventory
    return UpReport(
        cluster=inventory.cluster,
        endpoint=endpoint(inventory),
        model=_model(session),
        changes=tuple(str(c) for c in difference.changes),
        seconds=seconds,
    )


def _model(session: Session) -> str:
    """The model's name in the API: served_model_name, else what `vllm serve` was given."""
    inventory = session.inventory
    if inventory.vllm.served_model_name:
        return inventory.vllm.served_model_name
    return modelpath.expanded(inventory.vllm.model, session.facts[inventory.head.name].home)


def _stopped(session: Session, difference: Difference) -> str | None:
    """The model that these changes would stop, by the name it was started with; None without one.

    It runs where a process of vLLM is stopped: on the head, or on a node whose Ray is stopped, as
    with an inventory that has another head.
    """
    head = session.inventory.head.name
    for name in dict.fromkeys([head, *difference.ray_nodes]):
        facts = session.facts[name]
        ended = processes(facts, "vllm")
        if name in difference.ray_nodes:
            ended = ended or [p for p in known(facts.ours) if p.rank]
        elif not difference.vllm:
            ended = []
        if ended:
            return recorded_model(_recorded(session)) or _model(session)
    return None


def _recorded(session: Session) -> tuple[str, ...]:
    """The command line that the head's vLLM was started with; empty without a record."""
    record = records(session.facts[session.inventory.head.name]).get("vllm")
    return record.argv if record else ()


def _serves(session: Session) -> bool:
    """Whether the vLLM that runs may be serving; yes where it was started elsewhere, or without a
    record.
    """
    here = processes(session.facts[session.inventory.head.name], "vllm")
    argv = _recorded(session)
    return not here or not argv or health.serves(session, argv)


def _unsound(
    session: Session, wish: Wish, reporter: Reporter
) -> tuple[dict[str, str], str | None, bool]:
    """What only the running cluster shows: why each node's Ray and why vLLM must be restarted, and
    whether vLLM serves meanwhile.

    Raises ServingError where a restart may not help: the ranks are on other nodes than planned, or
    nothing is generated.
    """
    ray = Ray(wish.ray_address, wish.runtime_python, wish.ray_nodes)
    seen = look(session, wish.head.vllm_argv, ray)
    names, table, head = wish.ray_names, seen.table, session.inventory.head.name
    if isinstance(table, Failed):
        return {head: f"Ray does not answer: {table.error}"}, None, seen.serves
    if table is not None:
        found = {names[a]: f"Ray does not list {a} as alive with its GPU" for a in table.missing}
        if found:
            return found, None, seen.serves
        if error := misplaced(session.inventory, names, table):
            raise error
    unserved, said = health.judged(head, seen.completion, seen.health)
    if said:
        reporter.note(said)
    return {}, unserved, unserved is None

"""`up`: from whatever runs to what the inventory wishes, by the fewest sound steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sparkctl.cluster import steps
from sparkctl.cluster.difference import Difference, compare
from sparkctl.cluster.rayview import ray_table
from sparkctl.cluster.run import Run, Step, locked, perform
from sparkctl.cluster.session import Session
from sparkctl.cluster.watch import complete
from sparkctl.cluster.wish import Wish, make_wish
from sparkctl.errors import PreflightError
from sparkctl.inventory.layers import load_layers
from sparkctl.report.reporter import Reporter
from sparkctl.serving.rules import warnings

STEPS = (
    Step("stop vLLM", steps.stop_vllm, steps.has_vllm_to_stop),
    Step("stop what is left of Ray", steps.stop_ray, steps.has_ray_to_stop),
    Step("write the environment", steps.write_files, lambda r: bool(r.difference.ray_nodes)),
    Step("start the Ray head", steps.start_head, steps.starts_head),
    Step("start the Ray workers", steps.start_workers, steps.starts_workers),
    Step("wait for Ray's node table", steps.wait_for_ray),
    Step("start vLLM", steps.start_vllm, lambda r: r.difference.vllm),
)


@dataclass(frozen=True)
class UpReport:
    """What `up` did: the changes (none: all was as wished) and each step's seconds."""

    cluster: str
    endpoint: str
    model: str
    changes: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def desire(session: Session) -> Wish:
    """The wish for the nodes, which are probed unless their facts are known already.

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
    keep: bool = False,
) -> UpReport:
    """Bring the cluster up; see the module's first line.

    `preflight` is called before anything is started, if anything is to be. Raises what it
    raises, ServingError or RemoteError after what this run had started was undone (unless `keep`).
    """
    reporter.step("read the nodes' facts")
    try:
        wish = desire(session)
    except PreflightError:
        preflight(session)  # which tells all that is wrong, this among it
        raise
    for text in (doubts := doubtful(wish)):
        reporter.note(f"warning: {text}")
    difference = compare(wish, session.facts)
    run = Run(session, wish, difference, reporter)
    if not difference:
        reporter.step("check that it really serves")
        run.difference = difference = compare(wish, session.facts, unsound=_unsound(run))
    for change in difference.changes:
        reporter.note(str(change))
    if difference:
        reporter.step("check the nodes")
        preflight(session)
        with locked(session, "up"):
            perform(run, STEPS, keep=keep)
    return replace(report(session, difference, run.seconds), warnings=tuple(doubts))


def doubtful(wish: Wish) -> list[str]:
    """What the inventory may have and most likely should not, each line once."""
    found = [w for part in wish.nodes.values() for w in warnings(wish.inventory, part.values)]
    return list(dict.fromkeys(found))


def report(session: Session, difference: Difference, seconds: dict[str, float]) -> UpReport:
    """The endpoint as the controller would reach it, and what was changed."""
    inventory = session.inventory
    return UpReport(
        cluster=inventory.cluster,
        endpoint=f"http://{inventory.head.host}:{inventory.vllm.port}/v1",
        model=inventory.vllm.served_model_name or inventory.vllm.model,
        changes=tuple(str(c) for c in difference.changes),
        seconds=seconds,
    )


def _unsound(run: Run) -> dict[str, str]:
    """What only a look at the running cluster shows: Ray's view and a real generation."""
    table = ray_table(run.session, run.wish)
    names = {w.choice.address: n for n, w in run.wish.nodes.items()}
    if "error" in table:
        return {run.session.inventory.head.name: f"Ray does not answer: {table['error']}"}
    found = {names[a]: f"Ray does not list {a} alive with its GPU" for a in table["missing"]}
    answer = {} if found else complete(run)
    if "error" in answer:
        found["vllm"] = f"no completion comes back: {answer['error']}"
    return found

"""What only a running cluster shows: Ray's table, the API, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.doctor.check import Check, Source, per_node
from sparkctl.doctor.checks.processes import strays
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import Missing, known
from sparkctl.node.vitals import describe, figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View

WAITING = ("PENDING", "RESCHEDULING")  # states of placement groups, Ray 2.60
AGAIN = Remedy("start it again", ("sparkctl down", "sparkctl up"))


def idle(view: View, role: str) -> Finding | None:
    """Nothing of ours runs on the head: nothing to look at, which is no fault.

    What an older run left does not count, see host.leftovers.
    """
    head = view.inventory.head.name
    older = _older(view)
    if any(p not in older for p in view.running(head, role)):
        return None
    what = "Ray" if role == "ray" else "vLLM"
    return info(f"no {what} of ours runs", node=head)


def _older(view: View) -> list[dict[str, Any]]:
    try:
        return strays(view, view.inventory.head.name)
    except Missing:  # without the journal nothing tells them apart, and it hides no other check
        return []


def ray(view: View) -> Iterator[Finding]:
    """Ray's node table against the inventory: missing, dead, wrong address, GPUs."""
    if nothing := idle(view, "ray"):
        yield nothing
        return
    head = view.inventory.head.name
    table = view.seen(view.looks.ray, head)
    if "error" in table:
        yield fail(
            f"Ray does not answer: {table.error}",
            Evidence("Ray's node table", table.error, f"ray.init on {head}"),
            AGAIN,
            node=head,
        )
        return
    alive = {n.address: n for n in table.nodes if n.alive}
    yield from per_node(view, lambda name: [_ray_node(view, name, alive)])
    yield from _groups(table, head)


def _ray_node(view: View, name: str, alive: dict[str, Any]) -> Finding:
    wanted, gpus = view.choice(name).address, view.inventory.gpus_of(view.node(name))
    found = alive.get(wanted)
    own = {
        a.partition("/")[0]: i for i, n in known(view.facts(name).net).items() for a in n["ipv4"]
    }
    listed = ", ".join(alive) or "no node"
    # A raylet that died is listed for a quarter of a minute more, beside the one that came after.
    other = next((a for a in alive if a != wanted and own.get(a, "lo") != "lo"), None)
    if found is None or other:
        what = (
            f"it joined Ray by {other} ({own[other]}), not by its fabric address {wanted}:"
            " tensor parallelism then runs over that network"
            if other
            else f"Ray does not list {wanted} alive"
        )
        remedy = Remedy(
            "let it join by the fabric: `sparkctl up` starts what is missing; the node's log tells"
            " why it did not",
            ("sparkctl down", "sparkctl up", f"sparkctl logs ray {name}"),
        )
        return fail(what, Evidence(f"{wanted}, alive", listed, "ray.nodes()"), remedy, node=name)
    if found.gpus < gpus:
        return fail(
            f"Ray counts {found.gpus:g} GPUs, wanted {gpus}",
            Evidence(str(gpus), f"{found.gpus:g}", "ray.nodes()"),
            Remedy("`nvidia-smi` there; or set ray.num_gpus", ("sparkctl down", "sparkctl up")),
            node=name,
        )
    return ok(f"alive at {wanted} with {found.gpus:g} GPU", node=name)


def _groups(table: dict[str, Any], head: str) -> Iterator[Finding]:
    """Placement groups that wait: nothing in vLLM's log tells for what."""
    waiting = [g for g in table.get("groups", ()) if g.state in WAITING]
    for group in waiting:
        yield warn(
            f"a placement group of {len(group.bundles)} bundles is {group.state}: vLLM waits"
            " for GPUs that Ray does not have free",
            Evidence("CREATED", group.state, "ray.util.placement_group_table()"),
            Remedy("see the other findings of running.ray: a node that did not join; or another"
                   " job on this Ray holds the GPUs", ("sparkctl down", "sparkctl up")),
            node=head,
        )  # fmt: skip


def api(view: View) -> Iterator[Finding]:
    """The API answers on the head itself and from the controller."""
    if nothing := idle(view, "vllm"):
        yield nothing
        return
    head = view.inventory.head.name
    local, outside = view.seen(view.looks.generation, head), view.seen(view.looks.api, head)
    if "models" not in local:
        yield fail(
            f"the API does not answer on {head} itself: {local.get('error', 'no answer')}",
            Evidence("/v1/models", str(local.get("error")), "127.0.0.1 on the head"),
            Remedy("it may still be starting: its log tells; else start it again",
                   ("sparkctl logs vllm", "sparkctl up")),
            node=head,
        )  # fmt: skip
    elif outside.error:
        yield warn(
            f"the API answers on {head} and not from here: {outside.error}",
            Evidence("HTTP 200", outside.error, outside.url),
            Remedy(
                "a firewall, or vllm.host is a loopback address: open the port, or reach it"
                f" through SSH: ssh -L {view.inventory.vllm.port}:127.0.0.1:"
                f"{view.inventory.vllm.port} {view.inventory.head.host}"
            ),
            node=head,
        )
    else:
        yield ok(f"{', '.join(local.models)} at {outside.url.removesuffix('/health')}")


def generation(view: View) -> Iterator[Finding]:
    """A real generation: /health and /v1/models answer 200 while an engine is wedged."""
    if nothing := idle(view, "vllm"):
        yield nothing
        return
    head = view.inventory.head.name
    found = view.seen(view.looks.generation, head)
    health = found.get("health", {"state": ""})
    if found.get("tokens"):
        yield ok(f"{found.tokens} tokens in {found.seconds:.2f} s", node=head)
    elif "models" not in found:
        yield unknown("the API does not answer, see running.api", node=head)
    elif health.state == "busy":
        yield info(
            f"{describe(health)}; a completion waits its turn",
            Evidence("engine steps that end", figures(health), "/metrics"),
            node=head,
        )
    elif health.state == "unclear":
        yield unknown(
            f"busy or wedged: {found.error}, and /metrics does not say",
            fix=Remedy("drop disable-log-stats from vllm.arguments: vLLM then counts its steps",
                       ("sparkctl logs vllm",)),
            node=head,
        )  # fmt: skip
    elif health.state == "wedged":
        yield fail(
            f"the API answers and nothing is generated: {describe(health)}",
            Evidence("engine steps that end", figures(health), "/metrics, each half second"),
            Remedy("the engine is wedged, or reads a very long prompt in one step; `sparkctl up`"
                   " restarts it if no step ends for a minute",
                   ("sparkctl logs vllm", "sparkctl up")),
            node=head,
        )  # fmt: skip
    else:
        yield fail(
            f"the API answers and nothing is generated: {found.get('error', 'no token')}",
            Evidence("a few tokens", str(found.get("error", "none")), "/v1/completions"),
            Remedy("a completion fails: the log has the cause",
                   ("sparkctl logs vllm", "sparkctl down", "sparkctl up")),
            node=head,
        )  # fmt: skip


CHECKS = (
    Check("running.ray", "cluster", ray, needs=(Source.RAY,)),
    Check("running.api", "cluster", api, needs=(Source.API, Source.GENERATION)),
    Check("running.generation", "cluster", generation, needs=(Source.GENERATION,)),
)

"""What only a running cluster shows: Ray's table, the processes' environment, NCCL, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.view import View

AGAIN = Remedy("start it again", ("sparkctl down", "sparkctl up"))
# The least traffic that a few tokens leave on a half: 4-byte units over both directions.
TRAFFIC = 1000


def _idle(view: View, role: str) -> Finding | None:
    """Nothing of ours runs on the head: nothing to look at, which is no fault."""
    head = view.inventory.head.name
    if view.running(head, role):
        return None
    what = "Ray" if role == "ray" else "vLLM"
    return info(f"no {what} of ours runs", node=head)


def ray(view: View) -> Iterator[Finding]:
    """Ray's node table against the inventory: missing, dead, wrong address, GPUs."""
    if idle := _idle(view, "ray"):
        yield idle
        return
    head = view.inventory.head.name
    table = view.source("ray", head)
    if "error" in table:
        yield fail(
            f"Ray does not answer: {table['error']}",
            Evidence("Ray's node table", table["error"], f"ray.init on {head}"),
            AGAIN,
            node=head,
        )
        return
    alive = {n["address"]: n for n in table["nodes"] if n["alive"]}
    for name in view.known:
        yield _ray_node(view, name, alive)


def _ray_node(view: View, name: str, alive: dict[str, Any]) -> Finding:
    wanted, gpus = view.choice(name).address, view.inventory.gpus_of(view.node(name))
    found = alive.get(wanted)
    own = {a.partition("/")[0]: i for i, n in view.group(name, "net").items() for a in n["ipv4"]}
    listed = ", ".join(alive) or "no node"
    if found is None:
        other = next((a for a in alive if a in own and own[a] != "lo"), None)
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
    if found["gpus"] < gpus:
        return fail(
            f"Ray counts {found['gpus']:g} GPUs, wanted {gpus}",
            Evidence(str(gpus), f"{found['gpus']:g}", "ray.nodes()"),
            Remedy("`nvidia-smi` there; or set ray.num_gpus", ("sparkctl down", "sparkctl up")),
            node=name,
        )
    return ok(f"alive at {wanted} with {found['gpus']:g} GPU", node=name)


def environment(view: View, name: str) -> Iterator[Finding]:
    """The environment that our processes were started with, against the plan."""
    running = view.running(name)
    if not running:
        yield info("nothing of ours runs")
        return
    planned = view.environment(name)
    different: dict[tuple[str, str], list[int]] = {}
    for process in running:
        for variable, wanted in planned.items():
            found = process["environment"].get(variable)
            # A process whose title was written over its environment shows none of it.
            if process["environment"] and found is not None and found != wanted:
                different.setdefault((variable, found), []).append(process["pid"])
    for (variable, found), pids in different.items():
        listed = ", ".join(map(str, pids[:4])) + (" …" if len(pids) > 4 else "")
        yield fail(
            f"{variable} is {found} in {len(pids)} processes (pid {listed}), planned is"
            f" {planned[variable]}",
            Evidence(planned[variable], found, f"/proc/{pids[0]}/environ"),
            Remedy("start Ray and vLLM again: a new environment reaches only new processes",
                   ("sparkctl up",)),
        )  # fmt: skip
    if not different:
        yield ok(f"{len(running)} processes have the planned environment")


def libnccl(view: View) -> Iterator[Finding]:
    """Every rank has loaded the same libnccl: two versions hang after 20 to 60 minutes."""
    if idle := _idle(view, "vllm"):
        yield idle
        return
    loaded = {
        name: sorted({lib for p in view.running(name) for lib in p["libraries"] if "nccl" in lib})
        for name in view.known
    }
    if not any(loaded.values()):
        yield info("no rank has loaded libnccl: this vLLM talks without NCCL (its CPU build)")
        return
    for name, files in loaded.items():
        names = {f.rpartition("/")[2] for f in files}
        versions = view.group(name, "runtime")["versions"]
        wheel = ", ".join(f"{k} {v}" for k, v in versions.items() if k.startswith("nvidia_nccl"))
        if len(names) > 1 or len(files) > 1:
            yield fail(
                f"two libnccl are loaded: {', '.join(files)}",
                Evidence("one file", ", ".join(files), "/proc/PID/maps"),
                Remedy("keep the wheel's and drop LD_PRELOAD, or remove the system's",
                       ("sudo apt-get remove libnccl2",)),
                node=name,
            )  # fmt: skip
        elif not files:
            yield unknown("no rank of this node shows its libraries", node=name)
        else:
            yield ok(f"{files[0]}{f' ({wheel})' if wheel else ''}", node=name)
    if len({f.rpartition("/")[2] for files in loaded.values() for f in files}) > 1:
        listed = "; ".join(f"{n}: {', '.join(f)}" for n, f in loaded.items())
        yield fail(
            f"the nodes have loaded different libnccl: {listed}",
            Evidence("one version everywhere", listed, "/proc/PID/maps"),
            Remedy("install the same runtime on every node"),
        )


def api(view: View) -> Iterator[Finding]:
    """The API answers on the head itself and from the controller."""
    if idle := _idle(view, "vllm"):
        yield idle
        return
    head = view.inventory.head.name
    local, outside = view.source("generation", head), view.source("api", head)
    if "models" not in local:
        yield fail(
            f"the API does not answer on {head} itself: {local.get('error', 'no answer')}",
            Evidence("/v1/models", str(local.get("error")), "127.0.0.1 on the head"),
            Remedy("it may still be starting: its log tells; else start it again",
                   ("sparkctl logs vllm", "sparkctl up")),
            node=head,
        )  # fmt: skip
    elif outside["error"]:
        yield warn(
            f"the API answers on {head} and not from here: {outside['error']}",
            Evidence("HTTP 200", outside["error"], outside["url"]),
            Remedy(
                "a firewall, or vllm.host is a loopback address: open the port, or reach it"
                f" through SSH: ssh -L {view.inventory.vllm.port}:127.0.0.1:"
                f"{view.inventory.vllm.port} {view.inventory.head.host}"
            ),
            node=head,
        )
    else:
        yield ok(f"{', '.join(local['models'])} at {outside['url'].removesuffix('/health')}")


def generation(view: View) -> Iterator[Finding]:
    """A real generation: /health and /v1/models answer 200 while an engine is wedged."""
    if idle := _idle(view, "vllm"):
        yield idle
        return
    head = view.inventory.head.name
    found = view.source("generation", head)
    if found.get("tokens"):
        yield ok(f"{found['tokens']} tokens in {found['seconds']:.2f} s", node=head)
    elif "models" not in found:
        yield unknown("the API does not answer, see running.api", node=head)
    else:
        yield fail(
            f"the API answers and nothing is generated: {found.get('error', 'no token')}",
            Evidence("a few tokens", str(found.get("error", "none")), "/v1/completions"),
            Remedy("the engine is wedged: the whole group has to be started again",
                   ("sparkctl logs vllm", "sparkctl down", "sparkctl up")),
            node=head,
        )  # fmt: skip


def transport(view: View) -> Iterator[Finding]:
    """NCCL's own word in vLLM's log: RDMA, and channels on every wanted HCA."""
    if idle := _idle(view, "vllm"):
        yield idle
        return
    head = view.inventory.head.name
    yield from view.source("log", head)["findings"]


def traffic(view: View) -> Iterator[Finding]:
    """A generation moves the counters of every wanted HCA: the last proof that RDMA is used."""
    if idle := _idle(view, "vllm"):
        yield idle
        return
    loaded = [lib for n in view.known for p in view.running(n) for lib in p["libraries"]]
    if not any("nccl" in lib for lib in loaded):
        yield info("no rank has loaded libnccl: this vLLM sends nothing over RDMA (its CPU build)")
        return
    found = view.source("generation", view.inventory.head.name)
    if not found.get("tokens"):
        yield unknown("nothing was generated, see running.generation")
        return
    for name in view.known:
        before, after = found["before"].get(name), found["after"].get(name)
        if before is None or after is None:
            yield unknown("the counters could not be read", node=name)
            continue
        for hca in view.choice(name).hcas:
            old, new = before.get(hca, {}), after.get(hca, {})
            moved = sum(new.get(k, 0) - v for k, v in old.items() if k.startswith("port_"))
            if moved >= TRAFFIC:
                yield ok(f"{hca} carried {moved * 4 / 1e6:.2f} MB for the generation", node=name)
            else:
                yield fail(
                    f"{hca} carried nothing while tokens were generated",
                    Evidence("counters that grow", f"{moved * 4} bytes",
                             f"/sys/class/infiniband/{hca}/ports/1/counters"),
                    Remedy("see running.transport; NCCL_DEBUG=INFO in an env layer shows which"
                           " HCAs NCCL took"),
                    node=name,
                )  # fmt: skip


CHECKS = (
    Check("running.ray", "cluster", ray, needs=(Source.RAY,)),
    Check("running.environment", "node", environment),
    Check("running.libnccl", "cluster", libnccl),
    Check("running.transport", "cluster", transport, needs=(Source.LOG,)),
    Check("running.api", "cluster", api, needs=(Source.API, Source.GENERATION)),
    Check("running.generation", "cluster", generation, needs=(Source.GENERATION,)),
    Check("running.traffic", "cluster", traffic, needs=(Source.GENERATION,)),
)

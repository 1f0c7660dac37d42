"""The steps of `up`: Ray on each node, then vLLM on the head."""

from __future__ import annotations

import json
import secrets
import shlex
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sparkctl.cluster.difference import processes
from sparkctl.cluster.placement import check_ranks
from sparkctl.cluster.places import APPLIED, ENVIRONMENT, TOKEN, temp_dir
from sparkctl.cluster.rayview import ray_table
from sparkctl.cluster.record import make, records, text
from sparkctl.cluster.watch import watch_start
from sparkctl.errors import ServingError, combined
from sparkctl.secret.text import command_line
from sparkctl.secret.value import revealed
from sparkctl.serving.diagnosis import explain_ray

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.cluster.run import Run
    from sparkctl.inventory.models import Node
    from sparkctl.remote.fanout import GroupResult

T = TypeVar("T")
STOP_GRACE = 10.0  # seconds that vLLM and raylet get to leave on TERM


def _ray_nodes(run: Run) -> list[Node]:
    return [run.session.node(name) for name in run.difference.ray_nodes]


def check_all(result: GroupResult[T]) -> dict[str, T]:
    """Every node's answer; raises an error with those of all nodes that failed."""
    if result.failed:
        raise combined(result.failed)
    return result.ok


def stop(run: Run, nodes: Iterable[Node], roles: list[str], only: str | None = None) -> None:
    """End our processes of these roles on these nodes; `only` limits it to one run's.

    Raises ServingError when one is left.
    """
    answers = check_all(
        run.session.ask_all(
            nodes,
            "stop.stop",
            lambda _: {"roles": roles, "grace": STOP_GRACE, "run": only},
            timeout=STOP_GRACE + 30,
            title=f"ending {' and '.join(roles)}",
        )
    )
    for name, answer in answers.items():
        if left := remaining(answer):
            raise ServingError(
                left,
                node=name,
                hint="they hang in the kernel; look at `dmesg`, a reboot of the node clears them",
            )


def remaining(answer: Mapping[str, Any]) -> str:
    """What a node's `ending` could not end, in words; empty when nothing is left."""
    left = [f"{p['pid']} ({command_line(p['command'], 60)})" for p in answer["remaining"]]
    return f"processes still running after SIGKILL: {', '.join(left)}" if left else ""


def has_vllm_to_stop(run: Run) -> bool:
    """Whether anything of a vLLM that goes is still there."""
    head = run.session.inventory.head.name
    return run.difference.vllm and bool(processes(run.session.facts[head], "vllm"))


def has_ray_to_stop(run: Run) -> bool:
    """Whether anything of a Ray that goes is still there."""
    return any(run.session.facts[name]["ours"] for name in run.difference.ray_nodes)


def stop_vllm(run: Run) -> None:
    """vLLM goes before the Ray under it."""
    run.ended = run.stops
    stop(run, [run.session.inventory.head], ["vllm"])


def stop_ray(run: Run) -> None:
    """End all that sparkctl started on the nodes whose Ray is restarted."""
    run.ended = run.stops
    stop(run, _ray_nodes(run), [])


def write_files(run: Run) -> None:
    """The rendered environment, the cluster's token and the record of what is about to start, 0600,
    before anything reads them.
    """
    session, cluster = run.session, run.cluster
    head = session.inventory.head
    if head.name not in run.difference.ray_nodes:
        answer = session.ask(head, "files.read", {"names": [TOKEN]}, mutates=False)
        run.token = answer[TOKEN] or ""
    run.token = run.token or secrets.token_hex(32)
    nodes = _ray_nodes(run)
    for node in nodes:
        if not session.facts[node.name]["state"]["exists"]:
            run.undo.append((f"remove our files on {node.name}", partial(_remove_files, run, node)))
    check_all(
        session.ask_all(
            nodes,
            "files.write",
            lambda node: {
                "temp_dir": temp_dir(cluster),
                "files": {
                    ENVIRONMENT: json.dumps(revealed(run.wish.nodes[node.name].values)),
                    TOKEN: run.token,
                    APPLIED: _recorded(run, node, "ray"),
                },
            },
            title="writing the environment",
        )
    )


def _remove_files(run: Run, node: Node) -> None:
    where = {"temp_dir": temp_dir(run.cluster)}
    run.session.ask(node, "stop.remove", where, title="removing our files")


def _start_ray(run: Run, nodes: list[Node]) -> None:
    for node in nodes:
        run.undo.append(
            (f"stop Ray on {node.name}", partial(stop, run, [node], ["ray"], only=run.id))
        )
    timeout = run.session.inventory.ray.start_timeout
    answers = check_all(
        run.session.ask_all(
            nodes,
            "launch.run",
            lambda node: {
                "argv": revealed(run.wish.nodes[node.name].ray_argv),
                "shown": shlex.join(run.wish.nodes[node.name].ray_argv),
                "env": run.mark("ray"),
                "run": run.id,
                "unit": "ray",
                "timeout": timeout,
            },
            timeout=timeout + 15,
            title="ray start",
        )
    )
    for name, answer in answers.items():
        if answer["status"] != 0:
            cause, known = explain_ray(answer["tail"], answer["status"], timeout)
            raise ServingError(
                cause,
                node=name,
                code="ray-start",
                data={"cause": known.code if known else None, "status": answer["status"]},
                hint=known.text if known else None,
                log_tail=answer["tail"],
            )


def _recorded(run: Run, node: Node, unit: str) -> str:
    """The node's record with what this run starts there, for the next `up` to compare with.

    It is written before the start, so that nothing runs that it does not have.
    """
    wish = run.wish.nodes[node.name]
    argv = wish.ray_argv if unit == "ray" else wish.vllm_argv
    known = run.records.setdefault(node.name, records(run.session.facts[node.name]))
    known[unit] = make(run.id, argv, wish.values)
    return text(known)


def starts_head(run: Run) -> bool:
    """Whether this run starts the head's Ray."""
    return run.session.inventory.head.name in run.difference.ray_nodes


def starts_workers(run: Run) -> bool:
    """Whether this run starts Ray on any worker."""
    return any(n.role == "worker" for n in _ray_nodes(run))


def start_head(run: Run) -> None:
    """`ray start --head` on the head's fabric address."""
    _start_ray(run, [run.session.inventory.head])


def start_workers(run: Run) -> None:
    """`ray start --address` on every worker that needs it, at once."""
    _start_ray(run, [n for n in _ray_nodes(run) if n.role == "worker"])


def wait_for_ray(run: Run) -> None:
    """Until Ray's table has every node alive, by its fabric address and with its GPU."""
    inventory = run.session.inventory
    timeout = inventory.ray.start_timeout
    table = ray_table(run.session, run.wish, timeout=timeout)
    if "error" in table:
        raise ServingError(f"Ray does not answer: {table['error']}", node=inventory.head.name)
    if table["missing"]:
        there = ", ".join(
            f"{n['address']} ({n['gpus']:g} GPU)" for n in table["nodes"] if n["alive"]
        )
        names = {w.choice.address: n for n, w in run.wish.nodes.items()}
        lacking = ", ".join(f"{names[a]} at {a}" for a in table["missing"])
        raise ServingError(
            f"Ray should list {lacking} alive with its GPU within {timeout:g} s; it lists {there}",
            node=inventory.head.name,
            hint="`sparkctl logs ray NODE` shows that node's start; a node with another address"
            " joined over another network; a GPU missing: `nvidia-smi` on it",
        )


def start_vllm(run: Run) -> None:
    """`vllm serve` on the head, then its log until a real completion comes back."""
    session = run.session
    head = session.inventory.head
    run.undo.append(("stop vLLM", lambda: stop(run, [head], ["vllm"], only=run.id)))
    session.ask(head, "files.write", {"files": {APPLIED: _recorded(run, head, "vllm")}})
    started = session.ask(
        head,
        "launch.start",
        {
            "argv": revealed(run.wish.head.vllm_argv),
            "shown": shlex.join(run.wish.head.vllm_argv),
            "env": {**run.mark("vllm"), "RAY_ADDRESS": run.wish.ray_address},
            "run": run.id,
            "unit": "vllm",
        },
        title="starting vLLM",
    )
    watch_start(run, started, placed=lambda: check_ranks(run))
    noted = session.ask_all(session.inventory.nodes, "sharedmemory.note", lambda _: {})
    # The model is served all the same; a `down` after a KILL has less to go by.
    for name, error in noted.failed.items():
        run.reporter.note(f"warning: {name}: shared memory is not recorded: {error.message}")

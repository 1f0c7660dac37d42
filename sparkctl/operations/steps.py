"""The steps of `up`: Ray on each node, then vLLM on the head."""

from __future__ import annotations

import secrets
import shlex
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sparkctl.engines.vllm.diagnosis import explain_ray
from sparkctl.errors import ServingError, combined
from sparkctl.facts.answers import Failed
from sparkctl.facts.calls import NOTE_MEMORY, READ_FILES, REMOVE, RUN, START, STOP, WRITE_FILES
from sparkctl.facts.unread import Missing, known
from sparkctl.node.files import environment_text
from sparkctl.operations.ranks import check_ranks
from sparkctl.operations.raytable import ray_table
from sparkctl.operations.startup import watch_start
from sparkctl.plan.diff import processes
from sparkctl.plan.paths import APPLIED, ENVIRONMENT, TOKEN, temp_dir
from sparkctl.plan.record import make, records, text
from sparkctl.secret.text import command_line
from sparkctl.secret.value import revealed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.facts.answers import Stopped
    from sparkctl.inventory.models import Node
    from sparkctl.operations.run import Run
    from sparkctl.remote.fanout import GroupResult

T = TypeVar("T")
STOP_GRACE = 10.0  # seconds that vLLM and raylet get to leave on TERM


def _ray_nodes(run: Run) -> list[Node]:
    return [run.session.node(name) for name in run.difference.ray_nodes]


def check_all(result: GroupResult[T]) -> dict[str, T]:
    """Every node's answer. Raises one error that has every failed node's."""
    if result.failed:
        raise combined(result.failed)
    return result.ok


def stop(run: Run, nodes: Iterable[Node], roles: list[str], only: str | None = None) -> None:
    """Stop the cluster's processes of these roles on these nodes; `only` limits it to one run's.

    Raises ServingError when a process is left.
    """
    answers = check_all(
        run.session.ask_all(
            nodes,
            STOP,
            lambda _: {"roles": roles, "grace": STOP_GRACE, "run": only},
            title=f"stop {' and '.join(roles) or 'all processes'}",
        )
    )
    for name, answer in answers.items():
        if left := remaining(answer):
            raise ServingError(
                left,
                node=name,
                hint="they hang in the kernel: read `dmesg`, then reboot the node",
                code="processes-left",
            )


def remaining(answer: Stopped) -> str:
    """The processes that a node could not stop, as text; empty when none is left."""
    left = [f"{p.pid} ({command_line(p.command, 60)})" for p in answer.remaining]
    return f"processes still running after SIGKILL: {', '.join(left)}" if left else ""


def has_vllm_to_stop(run: Run) -> bool:
    """Whether a vLLM that has to be restarted has processes."""
    head = run.session.inventory.head.name
    return run.difference.vllm and bool(processes(run.session.facts[head], "vllm"))


def has_ray_to_stop(run: Run) -> bool:
    """Whether a Ray that has to be restarted has processes."""
    return any(known(run.session.facts[name].ours) for name in run.difference.ray_nodes)


def stop_vllm(run: Run) -> None:
    """Stop vLLM before the Ray under it."""
    run.ended = run.stops
    stop(run, [run.session.inventory.head], ["vllm"])


def stop_ray(run: Run) -> None:
    """Stop all that sparkctl started on the nodes whose Ray is restarted."""
    run.ended = run.stops
    stop(run, _ray_nodes(run), [])


def write_files(run: Run) -> None:
    """Write the rendered environment, the cluster's token and the record of the start, 0600."""
    session, cluster = run.session, run.cluster
    head = session.inventory.head
    if head.name not in run.difference.ray_nodes:
        answer = session.ask(head, READ_FILES, {"names": [TOKEN]})
        if TOKEN not in answer:
            raise Missing(f"{head.name}: {TOKEN} could not be read", what=TOKEN, kind="missing")
        run.token = answer[TOKEN] or ""
    run.token = run.token or secrets.token_hex(32)
    nodes = _ray_nodes(run)
    for node in nodes:
        if not known(session.facts[node.name].state).exists:
            run.undo.append((f"remove the files on {node.name}", partial(_remove_files, run, node)))
    check_all(
        session.ask_all(
            nodes,
            WRITE_FILES,
            lambda node: {
                "temp_dir": temp_dir(cluster),
                "files": {
                    ENVIRONMENT: environment_text(revealed(run.wish.nodes[node.name].values)),
                    TOKEN: run.token,
                    APPLIED: _recorded(run, node, "ray"),
                },
            },
            title="write the environment",
        )
    )


def _remove_files(run: Run, node: Node) -> None:
    where = {"temp_dir": temp_dir(run.cluster)}
    run.session.ask(node, REMOVE, where, title="remove the files")


def _start_ray(run: Run, nodes: list[Node]) -> None:
    for node in nodes:
        run.undo.append(
            (f"stop Ray on {node.name}", partial(stop, run, [node], ["ray"], only=run.id))
        )
    timeout = run.session.inventory.ray.start_timeout
    answers = check_all(
        run.session.ask_all(
            nodes,
            RUN,
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
        if answer.status != 0:
            tail = [*answer.tail]
            cause, known = explain_ray(tail, answer.status, timeout)
            raise ServingError(
                cause,
                node=name,
                code="ray-start",
                data={"cause": known.code if known else None, "status": answer.status},
                hint=known.text if known else None,
                log_tail=tail,
            )


def _recorded(run: Run, node: Node, unit: str) -> str:
    """The node's record with what this run starts there, for the next `up` to compare with.

    It is written before the start, so that nothing runs without a record.
    """
    wish = run.wish.nodes[node.name]
    argv = wish.ray_argv if unit == "ray" else wish.vllm_argv
    units = run.records.setdefault(node.name, records(run.session.facts[node.name]))
    units[unit] = make(run.id, argv, wish.values)
    return text(units)


def starts_head(run: Run) -> bool:
    """Whether this run starts the head's Ray."""
    return run.session.inventory.head.name in run.difference.ray_nodes


def starts_workers(run: Run) -> bool:
    """Whether this run starts Ray on any worker."""
    return any(n.role == "worker" for n in _ray_nodes(run))


def start_head(run: Run) -> None:
    """Run `ray start --head` on the head's fabric address."""
    _start_ray(run, [run.session.inventory.head])


def start_workers(run: Run) -> None:
    """Run `ray start --address` on every worker that needs it, in parallel."""
    _start_ray(run, [n for n in _ray_nodes(run) if n.role == "worker"])


def wait_for_ray(run: Run) -> None:
    """Wait until Ray lists every node as alive, by its fabric address and with its GPU.

    Raises ServingError after ray.start_timeout.
    """
    inventory = run.session.inventory
    timeout = inventory.ray.start_timeout
    table = ray_table(run.session, run.wish, timeout=timeout)
    if isinstance(table, Failed):
        raise ServingError(
            f"Ray does not answer: {table.error}", node=inventory.head.name, code="ray-silent"
        )
    if table.missing:
        there = ", ".join(f"{n.address} ({n.gpus:g} GPU)" for n in table.nodes if n.alive)
        names = {w.choice.address: n for n, w in run.wish.nodes.items()}
        lacking = ", ".join(f"{names[a]} at {a}" for a in table.missing)
        raise ServingError(
            f"Ray did not list {lacking} as alive with its GPU within {timeout:g} s, only {there}",
            node=inventory.head.name,
            code="ray-incomplete",
            data={"missing": [names[a] for a in table.missing]},
            hint="read `sparkctl logs ray NODE`; a node with another address joined over another"
            " network; for a missing GPU run `nvidia-smi` on the node",
        )


def start_vllm(run: Run) -> None:
    """Run `vllm serve` on the head and follow its log until a real completion comes back."""
    session = run.session
    head = session.inventory.head
    run.undo.append(("stop vLLM", lambda: stop(run, [head], ["vllm"], only=run.id)))
    session.ask(head, WRITE_FILES, {"files": {APPLIED: _recorded(run, head, "vllm")}})
    started = session.ask(
        head,
        START,
        {
            "argv": revealed(run.wish.head.vllm_argv),
            "shown": shlex.join(run.wish.head.vllm_argv),
            "env": {**run.mark("vllm"), "RAY_ADDRESS": run.wish.ray_address},
            "run": run.id,
            "unit": "vllm",
        },
        title="start vLLM",
    )
    watch_start(run, started, placed=lambda: check_ranks(run))
    noted = session.ask_all(session.inventory.nodes, NOTE_MEMORY, lambda _: {})
    # The model is served; only a `down` after a SIGKILL would leave shared memory.
    for name, error in noted.failed.items():
        run.reporter.note(f"warning: {name}: shared memory is not recorded: {error.message}")

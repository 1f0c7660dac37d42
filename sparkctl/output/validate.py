"""What `validate` found of an inventory without problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_err, print_json, print_wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.doubts import Doubt
    from sparkctl.errors import SparkctlError
    from sparkctl.inventory.models import Inventory, Runtime, View
    from sparkctl.output.stdio import Fields

    Reached = Mapping[str, SparkctlError | None]  # each node's error; none where it was not tried


def print_valid(
    path: Path, inventory: Inventory, doubts: Sequence[Doubt], reached: Reached, *, as_json: bool
) -> None:
    """Print the inventory's summary, the nodes that were tried, and the doubts on stderr."""
    if as_json:
        print_json(_document(inventory, doubts, reached))
        return
    print_wrapped(f"{path} is valid")
    _print_row("cluster", inventory.cluster)
    _print_row("nodes", ", ".join(f"{n.name} ({n.role or 'no service'})" for n in inventory.nodes))
    _print_row("env", ", ".join(inventory.env.layers) or "no layers")
    for view in inventory.views:
        vllm = view.vllm
        served = f"{vllm.model} on port {vllm.port}, TP {vllm.tensor_parallel_size}"
        if inventory.services:
            names = ", ".join(n.name for n in view.nodes)
            _print_row("service", f"{view.service}: {served}, on {names}")
        else:
            _print_row("model", served)
    _print_runtimes(inventory.views)
    for name, error in reached.items():
        print_wrapped(f"{name}: unreachable: {_reason(error)}" if error else f"{name}: reached")
    for doubt in doubts:
        print_err(f"warning: {doubt}")


def _print_runtimes(views: Sequence[View]) -> None:
    """Print where the services run, each place once; with its services if there are several."""
    places: dict[str, list[str]] = {}
    for view in views:
        places.setdefault(_place(view.runtime), []).append(view.service)
    for place, services in places.items():
        named = f"{', '.join(services)}: " if len(places) > 1 else ""
        _print_row("runtime", f"{named}{place}")


def _print_row(title: str, text: str) -> None:
    print_wrapped(f"  {title:<7}  {text}", hang=11)


def _place(runtime: Runtime) -> str:
    engine = "docker, else podman" if runtime.tool == "auto" else runtime.tool
    known = {"venv": runtime.venv, "container": f"containers of {runtime.image}, by {engine}"}
    return known.get(runtime.name, runtime.name)


def _document(inventory: Inventory, doubts: Sequence[Doubt], reached: Reached) -> Fields:
    texts = {name: _reason(error) if error else None for name, error in reached.items()}
    return {
        "cluster": inventory.cluster,
        "valid": True,
        "nodes": [n.name for n in inventory.nodes],
        "services": {view.service: _service(view) for view in inventory.views},
        "warnings": [str(doubt) for doubt in doubts],
        "doubts": [doubt.document() for doubt in doubts],
        "reached": texts or None,
        "codes": {name: error.code for name, error in reached.items() if error},
    }


def _service(view: View) -> Fields:
    vllm = view.vllm
    return {
        "engine": vllm.engine,
        "executor": vllm.executor,
        "runtime": _runtime(view.runtime),
        "model": vllm.model,
        "port": vllm.port,
        "tensor_parallel_size": vllm.tensor_parallel_size,
        "nodes": [n.name for n in view.nodes],
        "head": view.head.name,
    }


def _runtime(runtime: Runtime) -> Fields:
    return {
        "kind": runtime.name,
        "venv": None if runtime.image else runtime.venv,
        "image": runtime.image,
        "tool": runtime.tool if runtime.image else None,
    }


def _reason(error: SparkctlError) -> str:
    return error.message + (f" ({error.hint})" if error.hint else "")

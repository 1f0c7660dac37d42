"""Arguments that cannot be passed, and settings that are most likely a mistake on GB10; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doubts import Doubt
from sparkctl.engines.vllm import secretarguments, tls
from sparkctl.engines.vllm.arguments import FIELDS, cuda_graphs, mapping, problem
from sparkctl.engines.vllm.recipe import BACKEND, MINIMAX_M2
from sparkctl.engines.vllm.secretarguments import readable
from sparkctl.fabric.ncclparam import number
from sparkctl.inventory.paths import dotted
from sparkctl.text import keyed, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sparkctl.engines.choice import Choice
    from sparkctl.inventory.models import Argument, Inventory
    from sparkctl.inventory.paths import Path, Problem

    Verdict = tuple[str, str] | None  # a doubt's code and its text without the setting
    Argued = Iterator[tuple[str, str, str]]  # the same with the argument's name, second

# Variables that no program reads any more (vLLM 0.14 to 0.33, compared), and what replaces them.
UNREAD = {
    "VLLM_NVFP4_GEMM_BACKEND": (
        "vLLM 0.24 and later ignores it; set {key}.arguments linear-backend, such as"
        " flashinfer_cutlass"
    ),
    "VLLM_USE_FLASHINFER_MOE_FP4": (
        "vLLM 0.24 and later ignores it; set {key}.arguments moe-backend, where cutlass is nearest"
        " to 0"
    ),
    "VLLM_ATTENTION_BACKEND": (
        "vLLM 0.15 and later ignores it; set {key}.arguments attention-backend"
    ),
    "SAFETENSORS_FAST_GPU": "neither vLLM nor safetensors reads it; remove it",
}
NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|\d+)")
SEVERAL = re.compile(r"[\^=,]")  # NCCL's list syntax, which Gloo and torch do not know


def problems(path: Path, arguments: Mapping[str, Argument]) -> Iterator[Problem]:
    """The arguments that vLLM cannot get; `path` is the service's."""
    for name in arguments:
        if name in FIELDS:
            text = f"set {dotted((*path, FIELDS[name]))} instead of this flag"
            yield problem("own-key", name, text, at_key=True)
    yield from secretarguments.problems(arguments)
    yield from tls.problems(arguments)


def warnings(inventory: Inventory, environment: Mapping[str, str], recipe: Choice) -> list[Doubt]:
    """The doubtful settings; `setting` in a doubt's data is the variable or key it is about.

    Rules about the model's architecture are skipped where `recipe` does not know it.
    """
    arguments = {**recipe.defaults, **inventory.vllm.arguments}
    found = (
        *_arguments(arguments, inventory.vllm.executor, len(inventory.nodes)),
        *_compilation(arguments, recipe),
        *_secrets(inventory.vllm.arguments),
    )
    place = f"{inventory.key}.arguments"
    return [
        *variables(environment, inventory.key),
        *(doubt(c, f"{place}.{n}", text) for c, n, text in found),
    ]


def doubt(code: str, setting: str, text: str) -> Doubt:
    """A doubt about this variable or key."""
    return Doubt(code, f"{setting}: {text}", {"setting": setting})


def variables(environment: Mapping[str, str], key: str) -> Iterator[Doubt]:
    """The doubtful variables, whichever engine has them."""
    for name, value in environment.items():
        if name in UNREAD:
            yield doubt("unread-variable", name, keyed(UNREAD[name], key))
        elif name in VARIABLES and (verdict := VARIABLES[name](value)):
            yield doubt(verdict[0], name, verdict[1])


def _executor(value: str) -> Verdict:
    if value != "0":
        return None
    return (
        "old-ray-executor",
        "0 selects vLLM's older Ray executor, which overwrites each worker's NCCL_, UCX_ and VLLM_"
        " variables with the head's; remove it",
    )


def _no_number(value: str) -> Verdict:
    if NUMBER.fullmatch(value):
        return None
    return "not-a-number", f"NCCL reads {quoted(value)} as 0; write a number or remove it"


def _ib_disable(value: str) -> Verdict:
    if not NUMBER.fullmatch(value) or not number(value):
        return _no_number(value)
    return (
        "rdma-disabled",
        f"{quoted(value)} disables RDMA, and NCCL falls back to TCP; set it to 0",
    )


def _gid_index(value: str) -> Verdict:
    return _no_number(value) or (
        "pinned-gid-index",
        f"{quoted(value)} is used for every HCA, but indexes move on a link flap; remove it, and"
        " NCCL finds the RoCE v2 entry",
    )


def _interface(value: str) -> Verdict:
    if not SEVERAL.search(value):
        return None
    text = f"expected one literal interface, got {quoted(value)}; use ${{SOCKET_INTERFACE}}"
    return "not-one-interface", text


VARIABLES: dict[str, Callable[[str], Verdict]] = {
    "VLLM_USE_RAY_V2_EXECUTOR_BACKEND": _executor,
    "NCCL_IB_DISABLE": _ib_disable,
    "NCCL_IB_GID_INDEX": _gid_index,
    "GLOO_SOCKET_IFNAME": _interface,
    "TP_SOCKET_IFNAME": _interface,
}


def _arguments(arguments: Mapping[str, Argument], executor: str, nodes: int) -> Argued:
    backend = arguments.get(BACKEND)
    if backend != executor and nodes > 1:
        text = f"expected {executor}, got {backend or 'null'}; vLLM would use the head alone"
        yield ("executor-without-ray", BACKEND, text)
    name = "enable-expert-parallel"
    if arguments.get(name):
        yield ("expert-parallel", name, "known to break on GB10; remove it")


def _compilation(arguments: Mapping[str, Argument], recipe: Choice) -> Argued:
    name = "compilation-config"
    if "level" in (mapping(arguments.get(name)) or ()):
        # vLLM 0.14 to 0.33, compared.
        yield ("compilation-level", name, "vLLM refuses the key level; rename it to mode")
    if recipe.fits(MINIMAX_M2) and cuda_graphs(arguments):
        # Run on vLLM 0.32.
        text = "MiniMax MoE deadlocks on GB10 with CUDA graphs; set cudagraph_mode to none"
        yield ("cuda-graphs-deadlock", name, text)


def _secrets(arguments: Mapping[str, Argument]) -> Argued:
    for name in readable(arguments):
        yield (
            "readable-secret",
            name,
            "every user of the head can read this secret in vLLM's command line; use a file or an"
            " environment variable if vLLM has one for it",
        )

"""`plan` and `env` as lines and as JSON; secrets in the wish show a mask by themselves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sparkctl.cluster.wish import NodeWish, Wish


def plan_document(wish: Wish) -> dict[str, Any]:
    """Each node's environment and command lines, by node."""
    return {
        name: {
            "environment": {k: s.value for k, s in part.environment.items()},
            "ray": part.ray_argv,
            "vllm": part.vllm_argv,
        }
        for name, part in wish.nodes.items()
    }


def plan_lines(wish: Wish) -> Iterator[str]:
    """The same as a shell would read it."""
    for name, part in wish.nodes.items():
        yield f"# {name} ({part.node.role})"
        for key, setting in part.environment.items():
            yield f"export {key}={shlex.quote(setting.value)}"
        yield shlex.join(part.ray_argv)
        if part.vllm_argv:
            yield f"export RAY_ADDRESS={wish.ray_address}"
            yield shlex.join(part.vllm_argv)
        yield ""


def env_document(wish: Wish, nodes: Collection[str]) -> dict[str, Any]:
    """Each variable's value and layer, by node and name."""
    return {
        name: {k: {"value": s.value, "layer": s.layer} for k, s in part.environment.items()}
        for name, part in _parts(wish, nodes)
    }


def env_lines(wish: Wish, nodes: Collection[str]) -> Iterator[str]:
    """The same as aligned lines."""
    for name, part in _parts(wish, nodes):
        yield f"# {name}"
        width = max(len(f"{k}={s.value}") for k, s in part.environment.items())
        for key, setting in part.environment.items():
            yield f"{f'{key}={setting.value}':<{width}}  # {setting.layer}"


def _parts(wish: Wish, nodes: Collection[str]) -> list[tuple[str, NodeWish]]:
    return [(name, part) for name, part in wish.nodes.items() if name in nodes]

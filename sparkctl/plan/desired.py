"""What each node should run, from the inventory and the node's own facts; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.engines.vllm.commandline import ray_head_argv, ray_worker_argv, vllm_argv
from sparkctl.engines.vllm.environment import Setting, render
from sparkctl.engines.vllm.recipe import AUTO, Choice, choose_recipe
from sparkctl.errors import SparkctlError
from sparkctl.facts.unread import Unread, known
from sparkctl.plan.fabric import fabric_choices
from sparkctl.plan.paths import TOKEN, ray_dir, temp_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.fabric.selection import FabricChoice
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import Inventory, Node

OWN_LAYER = "sparkctl"


@dataclass(frozen=True)
class NodeWish:
    """One node's environment and command lines; `vllm_argv` is empty on a worker.

    Secrets in them show a mask: what goes to the node is `revealed`.
    """

    node: Node
    choice: FabricChoice
    environment: dict[str, Setting]
    ray_argv: tuple[str, ...]
    vllm_argv: tuple[str, ...]

    @property
    def values(self) -> dict[str, str]:
        """The environment without the layers that it came from."""
        return {name: setting.value for name, setting in self.environment.items()}


@dataclass(frozen=True)
class Wish:
    """What the whole cluster should run."""

    inventory: Inventory
    nodes: dict[str, NodeWish]
    runtime_python: str
    recipe: Choice

    @property
    def head(self) -> NodeWish:
        """The head's part."""
        return self.nodes[self.inventory.head.name]

    @property
    def ray_address(self) -> str:
        """The GCS on the head's fabric address."""
        return f"{self.head.choice.address}:{self.inventory.ray.port}"

    @property
    def ray_names(self) -> dict[str, str]:
        """Each fabric address, to the name of its node."""
        return {w.choice.address: name for name, w in self.nodes.items()}

    @property
    def ray_nodes(self) -> dict[str, float]:
        """Each fabric address that Ray must list alive, and the GPUs it must bring."""
        return {
            w.choice.address: float(self.inventory.gpus_of(w.node)) for w in self.nodes.values()
        }


def make_wish(inventory: Inventory, layers: list[Layer], facts: Mapping[str, NodeFacts]) -> Wish:
    """The wish for the nodes whose facts are known.

    Raises SparkctlError when a node's fabric cannot be derived or does not fit the inventory, or
    whether there is a config.json on the head could not be read.
    """
    recipe = head_recipe(inventory, facts[inventory.head.name])
    choices = _choices(inventory, facts)
    head_address = choices[inventory.head.name].address
    nodes = {}
    for node in inventory.nodes:
        choice, home = choices[node.name], facts[node.name].home
        environment = render(inventory, node, choice, layers, facts[node.name])
        environment.update(_own(inventory, home))
        is_head = node.role == "head"
        nodes[node.name] = NodeWish(
            node=node,
            choice=choice,
            environment=environment,
            ray_argv=ray_head_argv(inventory, choice.address, ray_dir(inventory.cluster))
            if is_head
            else ray_worker_argv(inventory, choice.address, head_address),
            vllm_argv=vllm_argv(inventory, recipe, home) if is_head else (),
        )
    venv = known(facts[inventory.head.name].runtime).venv
    return Wish(inventory, nodes, f"{venv}/bin/python", recipe)


def _choices(inventory: Inventory, facts: Mapping[str, NodeFacts]) -> dict[str, FabricChoice]:
    """Each node's fabric. Raises the first node's error."""
    found = fabric_choices(inventory, facts)
    choices = {}
    for node in inventory.nodes:
        choice = found[node.name]
        if isinstance(choice, SparkctlError):
            raise choice
        choices[node.name] = choice
    return choices


def head_recipe(inventory: Inventory, facts: NodeFacts) -> Choice:
    """The recipe by the head's facts; an explicit vllm.recipe needs none.

    Raises Missing when they are needed and could not be read: a running model would otherwise be
    restarted with other arguments.
    """
    vllm = inventory.vllm
    found = facts.config_json
    if vllm.recipe == AUTO:
        return choose_recipe(vllm, known(found))
    return choose_recipe(vllm, None if isinstance(found, Unread) else found)


def _own(inventory: Inventory, home: str) -> dict[str, Setting]:
    """What the mechanism itself needs, over every layer."""
    values = {
        # Sockets and scratch files of vLLM and torch then go with the cluster.
        "TMPDIR": f"{temp_dir(inventory.cluster)}/tmp",
        # Ray's and vLLM's setproctitle would else write over the mark in /proc/PID/environ.
        "SPT_NOENV": "1",
    }
    # Unset, a token file in somebody's home turns it on, on that node alone (Ray 2.59 and later).
    values["RAY_AUTH_MODE"] = "disabled"
    if inventory.ray.auth == "token":
        # Without a token whoever reaches the ports runs code (Ray 2.60, read and run).
        values["RAY_AUTH_MODE"] = "token"
        values["RAY_AUTH_TOKEN_PATH"] = f"{home}/.sparkctl/{inventory.cluster}/{TOKEN}"
    return {name: Setting(value, OWN_LAYER) for name, value in values.items()}

"""One run's view of a cluster: the inventory, the connections and each node's facts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparkctl.cluster.places import APPLIED, temp_dir
from sparkctl.errors import CommandError
from sparkctl.inventory.models import Inventory, Node
from sparkctl.remote import nodecall
from sparkctl.remote.fanout import GroupResult, each
from sparkctl.remote.pool import Pool

Facts = dict[str, Any]


@dataclass
class Session:
    """Connections to the nodes; `base` is the folder that holds the inventory."""

    inventory: Inventory
    base: Path
    pool: Pool
    facts: dict[str, Facts] = field(default_factory=dict)
    # The controller's clock just before and after each node was asked for its facts.
    asked: dict[str, tuple[float, float]] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """The inventory's node of that name."""
        return next(n for n in self.inventory.nodes if n.name == name)

    def ask(
        self,
        node: Node,
        target: str,
        request: dict[str, Any],
        *,
        timeout: float = 60.0,
        mutates: bool = True,
        title: str = "",
        python: str = "python3",
    ) -> dict[str, Any]:
        """Call `module.function` of sparkctl/node on a node and give its answer.

        Raises RemoteError when the node cannot be reached or the call fails.
        """
        command = nodecall.call(
            target,
            {"cluster": self.inventory.cluster, **request},
            timeout=timeout,
            mutates=mutates,
            title=title,
            python=python,
        )
        result = self.pool.connections[node.name].run(command).check()
        # A login shell may print a greeting first; the answer is the last line.
        last = result.stdout.decode(errors="replace").strip().rpartition("\n")[2]
        try:
            answer: dict[str, Any] = json.loads(last)
        except ValueError:
            raise CommandError(
                f"{command.title} should answer with JSON, it printed {result.stdout[:200]!r}",
                node=node.name,
                hint="does the login shell of this account print something at its end?",
            ) from None
        return answer

    def ask_all(
        self,
        nodes: Iterable[Node],
        target: str,
        request: Callable[[Node], dict[str, Any]],
        **options: Any,
    ) -> GroupResult[dict[str, Any]]:
        """The same call on several nodes at once; every node's answer or error is kept."""
        return each(
            list(nodes),
            lambda node: self.ask(node, target, request(node), **options),
            key=lambda node: node.name,
        )

    def probe(self, nodes: Iterable[Node]) -> GroupResult[Facts]:
        """Read all facts of these nodes, one round trip each, and keep them in `facts`."""
        inventory = self.inventory
        ray = inventory.ray
        ports = [
            p
            for p in (
                ray.port,
                ray.dashboard_port,
                ray.node_manager_port,
                ray.object_manager_port,
                inventory.vllm.port,
            )
            if p is not None
        ]
        request = {
            "venv": inventory.runtime.venv,
            "model": inventory.vllm.model,
            "ports": ports,
            "temp_dir": temp_dir(inventory.cluster),
            "names": [APPLIED],
        }

        def read(node: Node) -> Facts:
            before = time.time()
            title = "reading the node's facts"
            facts = self.ask(node, "probe.probe", request, mutates=False, title=title)
            self.asked[node.name] = (before, time.time())
            return facts

        found = each(list(nodes), read, key=lambda node: node.name)
        self.facts.update(found.ok)
        return found

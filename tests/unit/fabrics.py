"""Clusters of several nodes, made of the captured pair's first: on a switch, or as a ring."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tests.unit.doctorview import healthy

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

FIRST = ("enp1s0f0np0", "enP2p1s0f0np0")  # the halves of cage 0
SECOND = ("enp1s0f1np1", "enP2p1s0f1np1")
REST = "runtime: {venv: /opt/vllm}\nvllm: {model: /models/m2}\n"


def switched(number: int) -> Answers:
    """So many nodes, each with cage 0 on a switch."""
    answers = _nodes(number)
    for n, facts in enumerate(answers.facts.values(), 1):
        for half, interface in enumerate(FIRST):
            facts["net"][interface]["ipv4"] = [f"192.168.{100 + half}.{10 + n}/24"]
    return answers


def ring(number: int) -> Answers:
    """So many nodes, cage 0 of each cabled to cage 1 of the next."""
    answers = _nodes(number)
    for n, facts in enumerate(answers.facts.values()):
        before = (n - 1) % number
        for half in (0, 1):
            facts["net"][FIRST[half]]["ipv4"] = [f"10.{half}.{n}.1/24"]
            facts["net"][SECOND[half]].update(
                ipv4=[f"10.{half}.{before}.2/24"], up=True, speed=200_000
            )
        for device in facts["ib"].values():
            device["ports"]["1"].update(state="ACTIVE", phys_state="LinkUp")
    return answers


def port(answers: Answers, node: str, hca: str) -> dict[str, Any]:
    """The port of a device, to be changed."""
    found: dict[str, Any] = answers.facts[node]["ib"][hca]["ports"]["1"]
    return found


def _nodes(number: int) -> Answers:
    names = [f"spark-{n}" for n in range(1, number + 1)]
    nodes = "\n".join(f"  - {{name: {name}, host: 10.77.0.{name[6:]}}}" for name in names)
    answers = healthy(f"cluster: lab\nnodes:\n{nodes}\n{REST}")
    first = answers.facts["spark-1"]
    answers.facts = {name: {**deepcopy(first), "hostname": name} for name in names}
    answers.login = dict.fromkeys(names, 0.1)
    answers.asked = dict.fromkeys(names, answers.asked["spark-1"])
    return answers

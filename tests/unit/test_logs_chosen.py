"""Which unit's log `logs` shows, by what the user names."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import UsageError
from sparkctl.operations.logs.selection import Log, chosen, known, select
from sparkctl.remote import pool
from tests.bench.hostile import run
from tests.bench.nodes import Answers, Node
from tests.unit.doctorview import INVENTORY
from tests.unit.started import started

if TYPE_CHECKING:
    from pathlib import Path

ONE = parse(INVENTORY.encode(), "i.yaml")
NODES = "".join(f"  - {{name: s{n}, host: h{n}}}\n" for n in range(1, 6))
TWO = parse(
    f"""\
cluster: rack
nodes:
{NODES}services:
  chat: {{model: /m/a, nodes: [s1, s2]}}
  code: {{model: /m/b, nodes: [s4, s3]}}
""".encode(),
    "i.yaml",
)


@pytest.mark.parametrize(
    ("what", "node", "unit"),
    [
        (None, None, "vllm/0/vllm/spark-1"),
        ("vllm", None, "vllm/0/vllm/spark-1"),
        ("ray", None, "vllm/0/ray/spark-1"),
        ("ray", "spark-2", "vllm/0/ray/spark-2"),
        ("vllm/0/ray/spark-2", None, "vllm/0/ray/spark-2"),
        ("vllm/0/ray/spark-2", "spark-2", "vllm/0/ray/spark-2"),
    ],
)
def test_a_unit_of_the_only_service(what: str | None, node: str | None, unit: str) -> None:
    (found,) = chosen(ONE, what, node)
    assert (found.unit, found.node.name) == (unit, unit.rpartition("/")[2])


@pytest.mark.parametrize(
    ("what", "node", "unit"),
    [
        ("code", None, "code/0/vllm/s4"),
        ("ray", "s3", "code/0/ray/s3"),
        ("vllm", "s1", "chat/0/vllm/s1"),
        ("chat/0/ray/s2", None, "chat/0/ray/s2"),
        ("ray", "s5", "ray"),  # of no service: by its kind alone
    ],
)
def test_a_unit_of_one_of_two_services(what: str, node: str | None, unit: str) -> None:
    assert [log.unit for log in chosen(TWO, what, node)] == [unit]


CHAT, CODE = ("chat/0/vllm/s1", "chat/0/ray/s1", "chat/0/ray/s2"), ("code/0/vllm/s4",)


@pytest.mark.parametrize(
    ("names", "units"),
    [
        ((), (CHAT[0], *CODE)),  # each service's engine
        (("ray",), (CHAT[1], "code/0/ray/s4")),
        (("ray", "s2", "s1"), (CHAT[2], CHAT[1])),
        (("s2", "ray", "s1"), (CHAT[2], CHAT[1])),
        (("s1", "s2", "s4"), (CHAT[0], CHAT[2], *CODE)),  # the worker's Ray
        (("s5",), ("vllm",)),  # of no service
        (("chat", "code", "s1", "s4"), (CHAT[0], *CODE)),
        (("ray", "vllm", "s1", "s2"), (CHAT[1], CHAT[2], CHAT[0])),
        (("vllm", "s1", "s2"), (CHAT[0], "chat/0/vllm/s2")),  # which may have an older one
        (("chat", CHAT[0], "s1"), (CHAT[0], CHAT[0])),
    ],
)
def test_the_logs_of_several_names(names: tuple[str, ...], units: tuple[str, ...]) -> None:
    assert tuple(log.unit for log in select(TWO, names) if isinstance(log, Log)) == units


@pytest.mark.parametrize(
    ("names", "code"),
    [(("ray", "s9"), "node-unknown"), ((CHAT[1], "s2"), "unit-elsewhere")],
)
def test_names_that_nothing_can_have(names: tuple[str, ...], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(TWO, names)
    assert (caught.value.code, caught.value.exit_code) == (code, 2)


def test_a_name_of_both_is_a_units_and_after_a_unit_a_nodes() -> None:
    both = parse(
        b"cluster: c\nnodes: [{name: ray, host: a}, {name: s2, host: b}]\nvllm: {model: /m}\n",
        "i.yaml",
    )
    for names, unit in ((("ray",), "ray/ray"), (("ray", "ray"), "ray/ray"), (("s2",), "ray/s2")):
        assert [log.unit for log in select(both, names) if isinstance(log, Log)] == [
            f"vllm/0/{unit}"
        ]


@pytest.mark.parametrize(
    ("what", "near"),
    [
        ("rya", '"ray"'),
        ("chta", '"chat"'),
        ("chat/0/ray/s3", '"chat/0/ray/s2"'),
        ("code/0/rai/s3", '"code/0/ray/s3"'),
        ("zzzzzz", None),
        ("a/b", None),
    ],
)
def test_an_unknown_unit_is_named_with_those_there_are(what: str, near: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(TWO, what, None)
    error = caught.value
    assert (error.code, error.exit_code, error.data["unit"]) == ("unit-unknown", 2, what)
    if near:
        assert f"did you mean {near}?" in error.message
    assert all(unit in str(error.hint) for unit in known(TWO))


def test_a_units_id_and_another_node_contradict_each_other() -> None:
    with pytest.raises(UsageError) as caught:
        chosen(TWO, "chat/0/ray/s2", "s1")
    assert caught.value.code == "unit-elsewhere"


def test_a_service_has_no_log_on_a_node_of_another() -> None:
    with pytest.raises(UsageError, match="service chat runs on s1, s2, not on s3") as caught:
        chosen(TWO, "chat", "s3")
    assert (caught.value.code, caught.value.exit_code) == ("unit-elsewhere", 2)


def test_a_departed_services_log_is_where_it_ran(tmp_path: Path) -> None:
    facts = json.loads(json.dumps(started()).replace("vllm/0/", "chat/0/"))
    facts["spark-2"]["state"]["files"]["applied.json"] = None
    given = Answers(Random(0), facts, harmed=())
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(INVENTORY)
    words = ["logs", "-i", str(inventory), "chat"]
    with mock.patch.object(pool, "connect", lambda name, *_, **__: Node(name, given, [])):
        assert run(words) == (0, "a line\n", "")
        code, _, err = run([*words, "spark-2"])
    assert code == 2
    assert "error: chat ran on spark-1, not on spark-2" in err

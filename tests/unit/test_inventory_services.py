"""Services of an inventory: their rules, and each one's view, which is an inventory of its own."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.engines.inventory import load, parse
from sparkctl.errors import InventoryError
from sparkctl.inventory.models import Service
from tests.unit.test_inventory import ROOT, codes, details, problems

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

NODES = """\
cluster: rack
nodes:
  - {name: a, host: h1}
  - {name: b, host: h2}
  - {name: c, host: h3}
  - {name: d, host: h4}
  - {name: spare, host: h5}
"""
PAIRS = f"""\
{NODES}services:
  chat:
    model: /m/chat
    nodes: [b, a]
  code:
    model: /m/code
    nodes: [c, d]
"""


def read(text: str) -> Inventory:
    return parse(text.encode(), "x.yaml")


def test_each_service_is_seen_as_an_inventory_of_its_own() -> None:
    whole = read(PAIRS)
    chat, code = whole.views
    assert [v.service for v in whole.views] == ["chat", "code"]
    assert [n.name for n in chat.nodes] == ["b", "a"], "in the service's order"
    assert (chat.head.name, [n.name for n in chat.workers]) == ("b", ["a"])
    assert (code.head.name, [n.name for n in code.workers]) == ("c", ["d"])
    assert (chat.vllm.model, chat.vllm.port, chat.vllm.engine) == ("/m/chat", 30000, "vllm")
    assert (chat.cluster, chat.ray, chat.env) == (whole.cluster, whole.ray, whole.env)
    assert (chat.services, chat.views) == ({}, [chat])


def test_a_view_is_found_by_its_service_or_by_a_node() -> None:
    whole = read(PAIRS)
    chat, code = whole.views
    assert whole.view("code") == code
    with pytest.raises(StopIteration):
        whole.view("none")
    assert whole.view_of(whole.node("a")) == chat
    assert code.view_of(whole.node("d")) == code
    assert code.view_of(whole.node("a")) is None
    assert whole.view_of(whole.node("spare")) is None


def test_roles_left_out_are_derived_and_a_node_without_a_service_has_none() -> None:
    assert {n.name: n.role for n in read(PAIRS).nodes} == {
        "a": "worker",
        "b": "head",
        "c": "head",
        "d": "worker",
        "spare": None,
    }


@pytest.mark.parametrize(
    ("roles", "head"),
    [
        (("", ""), "a"),
        (("", ", role: head"), "b"),
        ((", role: worker", ""), "b"),
        ((", role: head", ""), "a"),
    ],
)
def test_the_head_is_the_node_with_that_role_else_the_first_that_is_no_worker(
    roles: tuple[str, str], head: str
) -> None:
    one, two = roles
    whole = read(
        f"cluster: x\nnodes:\n  - {{name: a, host: a{one}}}\n  - {{name: b, host: b{two}}}\n"
        "vllm: {model: /m}\n"
    )
    assert whole.head.name == whole.views[0].head.name == head
    assert {n.role for n in whole.nodes} == {"head", "worker"}
    assert whole.node(head).role == "head"


SETTINGS = st.fixed_dictionaries(
    {"model": st.sampled_from(["/m", "org/m"])},
    optional={
        "port": st.sampled_from([30000, 31000]),
        "tensor_parallel_size": st.sampled_from([1, 2]),
        "recipe": st.sampled_from(["auto", "none", "minimax-m2"]),
        "served_model_name": st.just("name"),
        "stall_timeout": st.just(5),
        "arguments": st.sampled_from(["{max-model-len: 4096}", "{api-key: k, seed: null}"]),
    },
)
ROLES = st.sampled_from(["", ", role: head", ", role: worker"])


@settings(deadline=None)
@given(SETTINGS, ROLES)
def test_the_short_form_is_a_service_called_vllm_on_all_nodes(
    keys: dict[str, object], role: str
) -> None:
    nodes = f"cluster: x\nnodes:\n  - {{name: a, host: a{role}}}\n  - {{name: b, host: b}}\n"
    lines = "".join(f"\n    {key}: {value}" for key, value in keys.items())
    short = read(f"{nodes}vllm:{lines}\n")
    service = read(f"{nodes}services:\n  vllm:{lines}\n")
    named = read(f"{nodes}services:\n  vllm:{lines}\n    nodes: [a, b]\n")
    assert short.views == service.views == named.views
    assert [i.views[0].key for i in (short, named)] == ["vllm", "services.vllm"]
    assert short.nodes == service.nodes
    (view,) = short.views
    assert (view.service, view.vllm.nodes) == ("vllm", ["a", "b"])
    assert short.vllm.model_dump() == view.vllm.model_dump(exclude={"engine", "nodes", "runtime"})
    key = view.vllm.arguments.get("api-key")
    assert key is None or str(key) == "****", "a secret stays one"


@pytest.mark.parametrize("name", ["two-node.yaml", "four-node.yaml"])
def test_an_inventory_of_today_is_one_service_on_all_nodes(name: str) -> None:
    whole = load(ROOT / "inventories" / name)
    (view,) = whole.views
    assert (view.nodes, view.head, view.workers) == (whole.nodes, whole.head, whole.workers)
    assert [n.role for n in whole.nodes] == ["head", *["worker"] * (len(whole.nodes) - 1)]
    assert whole.head.name == "spark-1"


def test_the_example_of_two_services_has_two_pairs() -> None:
    views = load(ROOT / "inventories/two-services.yaml").views
    assert [len(v.nodes) for v in views] == [2, 2]


def test_a_changed_inventory_has_changed_views() -> None:
    whole = read(PAIRS)
    assert whole.views[0].ssh.user is None
    ssh = whole.ssh.model_copy(update={"user": "u"})
    assert whole.model_copy(update={"ssh": ssh}).views[0].ssh.user == "u"


CASES = [
    ("unknown node", "[b, a]", "[b, x]", "11:16 services.chat.nodes[1] unknown-node"),
    ("shared node", "[c, d]", "[c, a]", "14:16 services.code.nodes[1] node-shared"),
    ("node twice", "[b, a]", "[b, b]", "11:16 services.chat.nodes[1] duplicate-node"),
    ("no nodes", "[b, a]", "[]", "11:12 services.chat.nodes too-short"),
    ("null", "[b, a]", "null", "11:12 services.chat.nodes wrong-type"),
    ("no name", "[b, a]", "[b, A]", "11:16 services.chat.nodes[1] bad-name"),
    ("nodes left out", "\n    nodes: [b, a]", "", "10:5 services.chat.nodes missing-key"),
    ("no model", "model: /m/chat", "port: 1", "10:5 services.chat.model missing-key"),
    ("bad model", "/m/chat", "./m", "10:12 services.chat.model bad-model"),
    ("port", "/m/chat", "/m\n    port: 6379", "11:11 services.chat.port port-taken"),
    ("bad port", "/m/chat", "/m\n    port: 0", "11:11 services.chat.port out-of-range"),
    (
        "ranks",
        "/m/chat",
        "/m\n    tensor_parallel_size: 3",
        "11:27 services.chat.tensor_parallel_size too-few-gpus",
    ),
    ("default ranks", "[b, a]", "[b]", "10:5 services.chat.tensor_parallel_size too-few-gpus"),
    ("key", "/m/chat", "/m\n    modle: x", "11:5 services.chat.modle unknown-key"),
    ("name", "chat:", "My_Chat:", "9:3 services.My_Chat bad-name"),
    ("no settings", "\n    model: /m/chat\n    nodes: [b, a]", "", "9:8 services.chat wrong-type"),
    ("engine", "/m/chat", "/m\n    engine: vlm", "11:13 services.chat.engine unknown-engine"),
    (
        "executor",
        "/m/chat",
        "/m\n    executor: mpi",
        "11:15 services.chat.executor unknown-executor",
    ),
    ("recipe", "/m/chat", "/m\n    recipe: x", "11:13 services.chat.recipe unknown-recipe"),
    (
        "own key",
        "/m/chat",
        "/m\n    arguments: {port: 1}",
        "11:17 services.chat.arguments.port own-key",
    ),
    (
        "bad flag",
        "/m/chat",
        "/m\n    arguments: {max_len: 1}",
        "11:17 services.chat.arguments.max_len bad-flag",
    ),
    (
        "bad value",
        "/m/chat",
        "/m\n    arguments: {a: [[1]]}",
        "11:21 services.chat.arguments.a[0] wrong-type",
    ),
    (
        "tls",
        "/m/chat",
        "/m\n    arguments: {ssl-certfile: x}",
        "11:31 services.chat.arguments.ssl-certfile bad-path",
    ),
    ("both forms", "services:", "vllm: {model: /m}\nservices:", "9:1 services keys-conflict"),
]


@pytest.mark.parametrize(("before", "after", "expected"), [c[1:] for c in CASES])
def test_a_broken_rule_is_reported_at_its_place(before: str, after: str, expected: str) -> None:
    assert before in PAIRS
    assert codes(PAIRS.replace(before, after, 1)) == [expected]


def test_one_head_in_each_service_and_none_of_workers_alone() -> None:
    one_each = PAIRS.replace("h1}", "h1, role: head}").replace("h4}", "h4, role: head}")
    assert [v.head.name for v in read(one_each).views] == ["a", "d"]
    two = one_each.replace("h2}", "h2, role: head}")
    assert codes(two) == ["4:31 nodes[1].role second-head"]
    assert "second head (first is nodes[0]); services.chat has one" in problems(two)[0]
    workers = PAIRS.replace("h3}", "h3, role: worker}").replace("h4}", "h4, role: worker}")
    assert codes(workers) == ["13:5 services.code no-head"]


def test_two_services_may_have_the_same_ports_and_one_may_have_all_nodes() -> None:
    assert {v.vllm.port for v in read(PAIRS).views} == {30000}
    (view,) = read(f"{NODES}services: {{chat: {{model: /m}}}}\n").views
    assert [n.name for n in view.nodes] == ["a", "b", "c", "d", "spare"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NODES, 'missing required key "vllm" or "services"'),
        (f"{NODES}services:\n", "services: expected a mapping with a name for each service"),
        (f"{NODES}services: {{}}\n", "services: expected a mapping with a name for each service"),
        (PAIRS.replace("[c, d]", "[c, spar]"), 'unknown node "spar"; did you mean "spare"?'),
        (PAIRS.replace("[c, d]", "[c, xyz]"), "known nodes: a, b, c, d, spare"),
        (PAIRS.replace("[c, d]", "[c, a]"), "a is a node of services.chat already"),
        (PAIRS.replace("/m/code", "/m\n    engine: vlm"), 'got "vlm"; did you mean "vllm"?'),
        (PAIRS.replace("/m/code", "/m\n    recipe: x"), "expected auto, none or a recipe (mini"),
        (PAIRS.replace("/m/code", "/m\n    modl: x"), 'services.code: unknown key "modl"; did you'),
        (PAIRS.replace("code:", "nodes:\n    x: 1"), 'services.nodes: unknown key "x"; known keys'),
        (
            PAIRS.replace("/m/code", "/m\n    arguments: {port: 1}"),
            "set services.code.port instead of this flag",
        ),
    ],
)
def test_the_line_that_people_read(text: str, expected: str) -> None:
    (found,) = problems(text)
    assert expected in found


def test_the_missing_key_has_the_path_that_it_had() -> None:
    (found,) = details(NODES)
    assert (found.path, found.code, found.line) == ("vllm", "missing-key", 1)


def test_rules_are_checked_although_types_are_wrong() -> None:
    """A service that is broken hides no rule about the others, and is not reported for its gaps."""
    broken = PAIRS.replace("/m/chat", "5").replace("[b, a]", "[b, 7]").replace("[c, d]", "[c, x]")
    assert codes(broken) == [
        "10:12 services.chat.model wrong-type",
        "11:16 services.chat.nodes[1] wrong-type",
        "14:16 services.code.nodes[1] unknown-node",
    ]
    nameless = PAIRS.replace("name: d,", "name: D,")
    assert codes(nameless) == ["6:12 nodes[3].name bad-name"], "code's d may be that node"


NAMES = st.sampled_from(["a", "b", "spare", "x", "A", "", 5, None, ["a"]])
ANY = st.one_of(st.none(), st.booleans(), st.integers(), NAMES, st.lists(NAMES, max_size=3))
ODD_SERVICE = st.one_of(
    ANY,
    st.dictionaries(
        st.sampled_from([*Service.model_fields, "arguments", "modle"]),
        st.one_of(ANY, st.dictionaries(st.sampled_from(["model", "port", "x_y"]), ANY)),
    ),
)


@settings(deadline=None)
@given(st.one_of(ANY, st.dictionaries(st.sampled_from(["a", "A", "nodes", "b.c"]), ODD_SERVICE)))
def test_whatever_stands_under_services_is_read_or_reported_in_its_file(value: object) -> None:
    text = f"{NODES}services: {json.dumps(value)}\n"
    with contextlib.suppress(InventoryError):
        assert [v.head for v in read(text).views]

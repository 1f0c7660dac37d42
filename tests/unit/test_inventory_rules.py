"""Rules between fields, told beside whatever else is wrong."""

from __future__ import annotations

import pytest

from sparkctl.serving.inventory import parse
from tests.unit.test_inventory import GOOD, problems


def test_rules_are_checked_although_types_are_wrong() -> None:
    """Each line has one problem, of the text, a type or a rule; none hides another."""
    assert problems(
        """\
cluster: Sparks
cluster: sparks
nodes:
  - {name: a, host: h, role: head, fabric: {addresses: [10.0.0.1, x]}}
  - {name: a, host: 10.0.0.2, role: head, fabric: {addresses: [10.0.0.1]}}
  - just text
fabrik: {}
ray: {port: 30000, num_gpus: none, min_worker_port: 5000, max_worker_port: 4000}
env:
  set:
    A: ${HOST}
    HF_TOKEN: 12345
vllm:
  served_model_name: no
  arguments: {max-model-len: [[1]], port: 5, middleware: []}
"""
    ) == [
        "x.yaml:1:10: cluster: wanted at most 32 lower-case letters, digits and inner dashes, found"
        " 'Sparks'",
        "x.yaml:2:1: cluster: wanted each key once, found it again (line 1 has it)",
        "x.yaml:4:67: nodes[0].fabric.addresses[1]: wanted an IPv4 address such as 192.168.100.11,"
        " found 'x'",
        "x.yaml:5:12: nodes[1].name: wanted a name used once, found a, as in nodes[0]",
        "x.yaml:5:37: nodes[1].role: wanted one head, found another beside nodes[0]",
        "x.yaml:5:64: nodes[1].fabric.addresses[0]: wanted a fabric address used once, found"
        " 10.0.0.1, as in nodes[0]",
        "x.yaml:6:5: nodes[2]: wanted a mapping, found 'just text'",
        "x.yaml:7:1: fabrik: wanted a known key, found fabrik; did you mean fabric?",
        "x.yaml:8:13: ray.port: wanted a port of its own, found 30000, which vllm.port has",
        "x.yaml:8:30: ray.num_gpus: wanted auto or a whole number from 1 to 16, found 'none'",
        "x.yaml:8:76: ray.max_worker_port: wanted min_worker_port at most max_worker_port, found"
        " 5000 and 4000",
        "x.yaml:11:8: env.set.A: wanted one of ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE}, ${HCAS},"
        " ${NODE}, found ${HOST}",
        "x.yaml:12:15: env.set.HF_TOKEN: wanted text, found ****; quote it",
        "x.yaml:14:3: vllm.model: wanted the key model, it is missing",
        "x.yaml:14:22: vllm.served_model_name: wanted an unambiguous value, found no, which YAML"
        " 1.1 reads as the truth value false; quote it, or write false",
        "x.yaml:15:31: vllm.arguments.max-model-len[0]: wanted text, a number, true, false, null, a"
        " list of these, or a mapping, found a list",
        "x.yaml:15:37: vllm.arguments.port: wanted vllm.port for this flag, found it here",
        "x.yaml:15:58: vllm.arguments.middleware: wanted null to drop the flag, found an empty"
        " list",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  recipe: minimax-m3", "7:11: vllm.recipe: expected auto, none or a recipe (minimax-m2),"
         " got 'minimax-m3'; did you mean minimax-m2?"),
        ("  recipe: qwen", "7:11: vllm.recipe: expected auto, none or a recipe (minimax-m2),"
         " got 'qwen'"),
        ("ray: {port: 30000}", "7:13: ray.port: wanted a port of its own, found 30000, which"
         " vllm.port has"),
        ("ray: {dashboard_port: 6379}", "7:23: ray.dashboard_port: wanted a port of its own, found"
         " 6379, which ray.port has"),
        ("ray: {port: 10001}", "7:13: ray.port: wanted a port of its own, found 10001, which Ray's"
         " client server has"),
        ("ray: {port: 12000}", "7:13: ray.port: wanted a port outside Ray's worker ports (10002 to"
         " 19999), found 12000"),
        ("ray: {min_worker_port: 30001}", "7:24: ray.min_worker_port: wanted min_worker_port at"
         " most max_worker_port, found 30001 and 19999"),
        ("ray: {min_worker_port: 5001, max_worker_port: 5000}", "7:47: ray.max_worker_port: wanted"
         " min_worker_port at most max_worker_port, found 5001 and 5000"),
        ("ray: {port: 22:22}", "7:13: ray.port: wanted an unambiguous value, found 22:22, which"
         " YAML 1.1 reads as a number in base 60, 1342; quote it if it is text"),
        ("ray: {min_worker_port: 80}", "7:24: ray.min_worker_port: wanted a port from 1024 to"
         " 65535, found 80"),
        ("ray: {port: 6379.5}", "7:13: ray.port: wanted a port from 1 to 65535, found 6379.5"),
        ("ray: {port: '6379'}", "7:13: ray.port: wanted a port from 1 to 65535, found '6379'"),
        ("ray: {start_timeout: true}", "7:22: ray.start_timeout: wanted a number of seconds, more"
         " than 0 and at most 86400, found true"),
        ("ray: {start_timeout: .nan}", "7:22: ray.start_timeout: wanted a number of seconds, more"
         " than 0 and at most 86400, found nan"),
        ("fabric: {cage: left}", "7:16: fabric.cage: wanted auto or a whole number from 0 to 7,"
         " found 'left'"),
        ("fabric: {subnets: [5]}", "7:20: fabric.subnets[0]: wanted an IPv4 subnet such as"
         " 192.168.100.0/24, without host bits, found 5"),
        ("fabric: {subnets: [10.0.0.1/24]}", "7:20: fabric.subnets[0]: wanted an IPv4 subnet such"
         " as 192.168.100.0/24, without host bits, found '10.0.0.1/24'"),
        ("env: {set: {a b: x}}", "7:13: env.set.a b: wanted a variable's name: letters, digits and"
         " _, no digit first, found 'a b'"),
        ("ssh:", "7:5: ssh: wanted a mapping, found nothing"),
        ("ssh: {usr: x}", "7:7: ssh.usr: wanted a known key, found usr; did you mean user?"),
    ],
)  # fmt: skip
def test_each_rule(text: str, wanted: str) -> None:
    assert problems(GOOD + text + "\n") == [f"x.yaml:{wanted}"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("compilation-config.mode", "wanted a mapping under compilation-config, found"
         " compilation-config.mode: beside a dotted flag vLLM loses the JSON of its group"),
        ("-cc.mode", "wanted a mapping under compilation-config, found -cc.mode: beside a dotted"
         " flag vLLM loses the JSON of its group"),
        ("max_model_len", "wanted a flag's name such as max-model-len, found 'max_model_len'; write"
         " max-model-len"),
        ("--max-model-len", "wanted a flag's name such as max-model-len, found '--max-model-len';"
         " write max-model-len"),
        ("a b", "wanted a flag's name such as max-model-len, found 'a b'"),
    ],
)  # fmt: skip
def test_flags_are_written_one_way(name: str, said: str) -> None:
    found = problems(GOOD + f"  arguments:\n    {name}: 3\n")
    assert found == [f"x.yaml:8:5: vllm.arguments.{name}: {said}"]


def test_an_address_outside_the_subnets() -> None:
    text = GOOD.replace("role: head", "role: head, fabric: {addresses: [10.0.1.1]}")
    assert problems(text + "fabric: {subnets: [10.0.0.0/24]}\n") == [
        "x.yaml:3:63: nodes[0].fabric.addresses[0]: wanted an address in fabric.subnets"
        " (10.0.0.0/24), found 10.0.1.1"
    ]


def test_what_is_not_known_breaks_no_rule() -> None:
    """A role that cannot be read may be the head's: nothing is said of no head."""
    found = problems(GOOD.replace("role: head", "role: hed"))
    assert found == ["x.yaml:3:36: nodes[0].role: wanted head or worker, found 'hed'"]
    assert problems("cluster: c\nnodes: 3\nvllm: {model: /m}\n") == [
        "x.yaml:2:8: nodes: wanted a list, found 3"
    ]
    assert problems("cluster: c\nnodes: []\nvllm: {model: /m}\n") == [
        "x.yaml:2:8: nodes: wanted at least 1 of these, found an empty list"
    ]


def test_more_gpus_a_node_allow_more_ranks() -> None:
    text = GOOD + "  tensor_parallel_size: 4\nray: {num_gpus: 2}\n"
    assert parse(text.encode(), "x").vllm.tensor_parallel_size == 4


@pytest.mark.parametrize(
    "model",
    [
        "./m", "../m", ".", ".m", "~", "~other/m", "models/a/b", "x/../y", "x/..", "x/.", "a/b/",
        "a/", "a//b", "C:\\x", "a b/m", "a/b:", "a/b:Q4/c", "a:b/c",
    ],
)  # fmt: skip
def test_a_model_without_a_definite_place_is_refused(model: str) -> None:
    assert problems(GOOD.replace("/models/m", f"'{model}'")) == [
        "x.yaml:6:10: vllm.model: expected an absolute path, ~/… or a name on the hub,"
        f" got {model!r}"
    ]


@pytest.mark.parametrize(
    "model",
    [
        "/m",
        "~/m",
        "m",
        "org/name",
        "models/x",
        "s3://bucket/a/m",
        "org/name:Q4_K_M",
        "Qwen/Qwen2.5-7B_x.y",
        "gs://b/a b",
        "name:Q8_0",
    ],
)
def test_what_vllm_loads_by_name_or_path_is_taken(model: str) -> None:
    assert parse(GOOD.replace("/models/m", f'"{model}"').encode(), "x").vllm.model == model


GATE = """\
cluster: sparks
ssh: {{{cluster}}}
nodes:
  - {{name: a, host: gate, role: head, ssh: {{{first}}}}}
  - {{name: b, host: Gate, role: worker, ssh: {{{second}}}}}
vllm: {{model: /m}}
"""


@pytest.mark.parametrize(
    ("cluster", "first", "second", "twice"),
    [
        ("", "port: 2201", "port: 2202", ""),
        ("port: 2201", "", "port: 2202", ""),
        ("", "port: 2201", "", ""),  # the other's is that of ~/.ssh/config
        ("", "port: 2201", "port: 2201", "gate port 2201"),
        ("port: 2201", "", "port: 2201", "gate port 2201"),
        ("port: 2201", "", "", "gate port 2201"),
        ("", "", "user: x", "gate"),
    ],
)
def test_two_nodes_on_one_host_need_ports_of_their_own(
    cluster: str, first: str, second: str, twice: str
) -> None:
    text = GATE.format(cluster=cluster, first=first, second=second)
    if twice:
        (said,) = problems(text)
        assert f"nodes[1].host: wanted a host used once, found {twice}, as in nodes[0]" in said
    else:
        assert len(parse(text.encode(), "x.yaml").nodes) == 2


def test_a_port_that_is_wrong_makes_no_host_a_double() -> None:
    (said,) = problems(GATE.format(cluster="", first="port: 2201", second="port: '2201'"))
    assert "nodes[1].ssh.port: wanted a port" in said

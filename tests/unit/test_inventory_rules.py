"""Rules between fields, reported along with every other problem."""

from __future__ import annotations

import pytest

from sparkctl.engines.inventory import parse
from tests.unit.test_inventory import GOOD, codes, details, problems

MANY = """\
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


def test_rules_are_checked_although_types_are_wrong() -> None:
    """Each line has one problem, of the text, a type or a rule; none hides another."""
    *found, port, middleware = codes(MANY)
    assert found == [
        "1:10 cluster bad-name",
        "2:1 cluster duplicate-key",
        "4:67 nodes[0].fabric.addresses[1] bad-address",
        "5:12 nodes[1].name duplicate-name",
        "5:37 nodes[1].role second-head",
        "5:64 nodes[1].fabric.addresses[0] duplicate-address",
        "6:5 nodes[2] wrong-type",
        "7:1 fabrik unknown-key",
        "8:13 ray.port port-taken",
        "8:30 ray.num_gpus wrong-type",
        "8:76 ray.max_worker_port empty-port-range",
        "11:8 env.set.A unknown-reference",
        "12:15 env.set.HF_TOKEN wrong-type",
        "14:3 vllm.model missing-key",
        "14:22 vllm.served_model_name ambiguous-value",
        "15:31 vllm.arguments.max-model-len[0] wrong-type",
    ]
    assert port.startswith("15:37 vllm.arguments.port ")
    assert middleware.startswith("15:58 vllm.arguments.middleware ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ssh: {usr: x}", '7:7: ssh: unknown key "usr"; did you mean "user"?'),
        ("env: {xyz: 1}", '7:7: env: unknown key "xyz"; known keys: layers, set'),
        (
            "runtime: {venv: a}",
            '7:17: runtime.venv: expected a path that begins with / or ~/, got "a"',
        ),
        ("vllm: {}", '7:1: duplicate key "vllm" (first on line 5)'),
        ("fabric: {mtu: 9k}", '7:15: fabric.mtu: expected a number from 1280 to 9216, got "9k"'),
        (
            "fabric: {cage: 9}",
            "7:16: fabric.cage: expected auto or a whole number from 0 to 7, got 9",
        ),
        ("ssh:", "7:5: ssh: expected a mapping, got nothing"),
        ("ray: {auth: a}", '7:13: ray.auth: expected "token" or "off", got "a"'),
        (
            "ssh: {user: no}",
            "7:13: ssh.user: ambiguous value no: YAML 1.1 reads it as false (boolean);"
            " quote it, or write false",
        ),
        (
            "ssh: {port: 22:22}",
            "7:13: ssh.port: ambiguous value 22:22: YAML 1.1 reads it as 1342"
            " (base 60); quote it if text",
        ),
        ("ray: {port: 30000}", "7:13: ray.port: port 30000 is taken by vllm.port"),
        ("env: {set: {A_TOKEN: 1}}", "7:22: env.set.A_TOKEN: expected text, got ****; quote it"),
        (
            "env: {set: {A: '${X}'}}",
            "7:16: env.set.A: unknown reference ${X}; known are"
            " ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE}, ${HCAS}, ${NODE}",
        ),
        (
            "env: {set: {A_KEY: '${X}'}}",
            "7:20: env.set.A_KEY: unknown reference in a secret value;"
            " known are ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE}, ${HCAS}, ${NODE}",
        ),
    ],
)
def test_the_line_that_people_read(text: str, line: str) -> None:
    """The text is the subject: it names the key, what is expected and what to write."""
    assert problems(GOOD + text + "\n") == [f"x.yaml:{line}"]


def test_a_missing_key_is_named_after_the_mapping_that_lacks_it() -> None:
    """The text is the subject; a script reads the path."""
    (found,) = details(GOOD.replace(", host: b", ""))
    assert (found.path, found.text) == ("nodes[1].host", 'nodes[1]: missing required key "host"')
    assert (
        details(GOOD.replace("cluster: sparks\n", ""))[0].text == 'missing required key "cluster"'
    )


@pytest.mark.parametrize("recipe", ["minimax-m3", "qwen"])
def test_an_unknown_recipe(recipe: str) -> None:
    (found,) = details(GOOD + f"  recipe: {recipe}\n")
    assert (found.line, found.path) == (7, "vllm.recipe")
    assert ("did you mean" in found.text) == (recipe == "minimax-m3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ray: {port: 30000}", "7:13 ray.port port-taken"),
        ("ray: {dashboard_port: 6379}", "7:23 ray.dashboard_port port-taken"),
        ("ray: {port: 10001}", "7:13 ray.port port-taken"),
        ("ray: {port: 12000}", "7:13 ray.port worker-port"),
        ("ray: {min_worker_port: 30001}", "7:24 ray.min_worker_port empty-port-range"),
        (
            "ray: {min_worker_port: 5001, max_worker_port: 5000}",
            "7:47 ray.max_worker_port empty-port-range",
        ),
        ("ray: {port: 22:22}", "7:13 ray.port ambiguous-value"),
        ("ray: {min_worker_port: 80}", "7:24 ray.min_worker_port out-of-range"),
        ("ray: {port: 6379.5}", "7:13 ray.port wrong-type"),
        ("ray: {port: '6379'}", "7:13 ray.port wrong-type"),
        ("ray: {start_timeout: true}", "7:22 ray.start_timeout wrong-type"),
        ("ray: {start_timeout: .nan}", "7:22 ray.start_timeout out-of-range"),
        ("fabric: {cage: left}", "7:16 fabric.cage wrong-type"),
        ("fabric: {cage: 8}", "7:16 fabric.cage out-of-range"),
        ("fabric: {subnets: [5]}", "7:20 fabric.subnets[0] bad-address"),
        ("fabric: {subnets: [10.0.0.1/24]}", "7:20 fabric.subnets[0] bad-address"),
        ("fabric: {subnets: []}", "7:19 fabric.subnets too-short"),
        ("env: {set: {a b: x}}", "7:13 env.set.a b bad-name"),
        ("env: {set: {a b: 5}}", "7:13 env.set.a b bad-name"),
        ("ssh:", "7:5 ssh wrong-type"),
        ("ssh: {user: ''}", "7:13 ssh.user too-short"),
        ("ssh: {usr: x}", "7:7 ssh.usr unknown-key"),
        ("runtime: {venv: x}", "7:17 runtime.venv bad-path"),
    ],
)
def test_each_rule(text: str, expected: str) -> None:
    assert codes(GOOD + text + "\n") == [expected]


@pytest.mark.parametrize(
    ("name", "code", "remedy"),
    [
        ("compilation-config.mode", "dotted-flag", 'a mapping under "compilation-config"'),
        ("-cc.mode", "dotted-flag", 'a mapping under "compilation-config"'),
        ("max_model_len", "bad-flag", "max-model-len"),
        ("--max-model-len", "bad-flag", "max-model-len"),
        ("a b", "bad-flag", None),
    ],
)
def test_flags_are_written_one_way_which_the_text_shows(
    name: str, code: str, remedy: str | None
) -> None:
    (found,) = details(GOOD + f"  arguments:\n    {name}: 3\n")
    assert (found.line, found.column, found.path) == (8, 5, f"vllm.arguments.{name}")
    assert found.code == code
    assert found.text.partition("; write ")[2] == (remedy or "")


def test_an_address_outside_the_subnets() -> None:
    text = GOOD.replace("role: head", "role: head, fabric: {addresses: [10.0.1.1]}")
    assert codes(text + "fabric: {subnets: [10.0.0.0/24]}\n") == [
        "3:63 nodes[0].fabric.addresses[0] outside-subnets"
    ]


def test_what_is_not_known_breaks_no_rule() -> None:
    """A role that is not valid may be the head's: no-head is not reported."""
    assert codes(GOOD.replace("role: head", "role: hed")) == ["3:36 nodes[0].role unknown-value"]
    assert codes("cluster: c\nnodes: 3\nvllm: {model: /m}\n") == ["2:8 nodes wrong-type"]
    assert codes("cluster: c\nnodes: []\nvllm: {model: /m}\n") == ["2:8 nodes too-short"]


def test_more_gpus_a_node_allow_more_ranks() -> None:
    text = GOOD + "  tensor_parallel_size: 4\nray: {num_gpus: 2}\n"
    assert parse(text.encode(), "x").vllm.tensor_parallel_size == 4


NO_PLACES = (
    "./m ../m . .m ~ ~other/m models/a/b x/../y x/.. x/. a/b/ a/ a//b C:\\x a/b: a/b:Q4/c a:b/c"
)


@pytest.mark.parametrize("model", [*NO_PLACES.split(), "a b/m"])
def test_a_model_without_a_definite_place_is_refused(model: str) -> None:
    assert codes(GOOD.replace("/models/m", f"'{model}'")) == ["6:10 vllm.model bad-model"]


PLACES = "/m ~/m m org/name models/x s3://bucket/a/m org/name:Q4_K_M Qwen/Qwen2.5-7B_x.y name:Q8_0"


@pytest.mark.parametrize("model", [*PLACES.split(), "gs://b/a b"])
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
        (found,) = details(text)
        assert (found.path, found.code) == ("nodes[1].host", "duplicate-host")
        assert f'"{twice}"' in found.text  # the host with the port that makes it one
    else:
        assert len(parse(text.encode(), "x.yaml").nodes) == 2


def test_a_port_that_is_wrong_makes_no_host_a_double() -> None:
    found = codes(GATE.format(cluster="", first="port: 2201", second="port: '2201'"))
    assert found == ["5:53 nodes[1].ssh.port wrong-type"]

"""Every problem of an inventory is told at once, with its place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.errors import InventoryError
from sparkctl.inventory.layers import load_layers
from sparkctl.inventory.models import Inventory
from sparkctl.serving.inventory import load, parse

ROOT = Path(__file__).parents[2]
GOOD = """\
cluster: sparks
nodes:
  - {name: spark-1, host: a, role: head}
  - {name: spark-2, host: b, role: worker}
vllm:
  model: /models/m
"""


def problems(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(InventoryError) as caught:
        parse(data, "x.yaml")
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_defaults_are_the_recipes() -> None:
    inventory = parse(GOOD.encode(), "x.yaml")
    assert (inventory.ray.port, inventory.vllm.port) == (6379, 30000)
    assert inventory.vllm.tensor_parallel_size == 2
    assert inventory.head.name == "spark-1"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "inventories").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_example_loads_with_its_layers(path: Path) -> None:
    inventory = load(path)
    assert len(load_layers(inventory, path.parent)) == 3


CASES: list[tuple[str, str, str, str]] = [
    ("unknown key", "cluster: sparks", "clustr: sparks", "x.yaml:1:1: clustr: wanted a known key,"
     " found clustr; did you mean cluster?"),
    ("missing key", "  model: /models/m", "  port: 1", "x.yaml:6:3: vllm.model: wanted the key"
     " model, it is missing"),
    ("wrong role", "role: worker", "role: boss", "x.yaml:4:36: nodes[1].role: wanted head or"
     " worker, found 'boss'"),
    ("two heads", "role: worker", "role: head", "x.yaml:4:36: nodes[1].role: wanted one head, found"
     " another beside nodes[0]"),
    ("no head", "role: head", "role: worker", "x.yaml:3:3: nodes: wanted one node with role head,"
     " found none"),
    ("same name", "spark-2", "spark-1", "x.yaml:4:12: nodes[1].name: wanted a name used once,"
     " found spark-1, as in nodes[0]"),
    ("same host", "host: b", "host: A", "x.yaml:4:27: nodes[1].host: wanted a host used once,"
     " found a, as in nodes[0]"),
    ("bad port", "  model: /models/m", "  model: /m\n  port: 0", "x.yaml:7:9: vllm.port: wanted a"
     " port from 1 to 65535, found 0"),
    ("text for a port", "  model: /models/m", "  model: /m\n  port: http", "x.yaml:7:9: vllm.port:"
     " wanted a port from 1 to 65535, found 'http'"),
    ("base 60", "cluster: sparks", "cluster: sparks\nssh: {port: 22:22}", "x.yaml:2:13: ssh.port:"
     " wanted an unambiguous value, found 22:22, which YAML 1.1 reads as a number in base 60, 1342;"
     " quote it if it is text"),
    ("norway", "spark-1", "no", "x.yaml:3:12: nodes[0].name: wanted an unambiguous"
     " value, found no, which YAML 1.1 reads as the truth value false; quote it, or write false"),
    ("octal", "  model: /models/m", "  model: /m\n  port: 0777", "x.yaml:7:9: vllm.port: wanted an"
     " unambiguous value, found 0777, which YAML 1.1 reads as an octal number, 511; quote it if it"
     " is text"),
    ("twice", "cluster: sparks", "cluster: sparks\ncluster: sparks", "x.yaml:2:1: cluster: wanted"
     " each key once, found it again (line 1 has it)"),
    ("too many ranks", "  model: /models/m", "  model: /m\n  tensor_parallel_size: 3",
     "x.yaml:7:25: vllm.tensor_parallel_size: wanted at most the GPUs of the nodes (2 on"
     " 2), found 3"),
    ("ports collide", "  model: /models/m", "  model: /m\n  port: 6379", "x.yaml:7:9: vllm.port:"
     " wanted a port of its own, found 6379, which ray.port has"),
    ("a field among the arguments", "  model: /models/m",
     "  model: /m\n  arguments: {port: 1}", "x.yaml:7:15: vllm.arguments.port: wanted vllm.port for"
     " this flag, found it here"),
    ("alias", "cluster: sparks", "cluster: &a sparks\nssh: {user: *a}", "x.yaml:2:13: wanted the"
     " value itself, found the alias *a"),
    ("same address", "role: head}", "role: head, fabric: {addresses: [1.2.3.4, 1.2.3.4]}}",
     "x.yaml:3:72: nodes[0].fabric.addresses[1]: wanted a fabric address used once, found 1.2.3.4,"
     " as in nodes[0]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_each_problem_has_its_place(old: str, new: str, wanted: str) -> None:
    assert wanted in problems(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("- a\n- b\n", "wanted a mapping with cluster, nodes and vllm, found a list"),
        ("just text", "wanted a mapping with cluster, nodes and vllm, found 'just text'"),
        (b"cluster: \xff\n", "x.yaml:1:10: wanted UTF-8, found the byte 0xff"),
        ("cluster: a\n\tssh: {}\n", "indent with spaces, not with tabs"),
        ("cluster: [a\n", "wanted YAML, found a syntax error"),
        (b"cluster: a\0b\n", "x.yaml:1:11: wanted text, found the character U+0000"),
        ("cluster: a\n---\ncluster: b\n", "wanted one document, found a second one"),
        ("a: " + "[" * 5000, "wanted at most 30 levels"),
        ("a: " + "x" * (1 << 20), "wanted at most 131072 bytes"),
        ("? [a]\n: b\n", "wanted a plain key, found a collection"),
        ("a: !!python/object:os.system {}\n", "found the tag !!python/object:os.system"),
    ],
)
def test_what_is_no_inventory_at_all(text: str | bytes, wanted: str) -> None:
    assert any(wanted in p for p in problems(text)), problems(text)


def test_billion_laughs_are_refused_at_once() -> None:
    lines = ["a0: &a0 lol"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert len(problems("\n".join(lines))) == 1


def test_all_problems_come_at_once_in_the_files_order() -> None:
    found = problems(
        GOOD.replace("sparks", "Bad!").replace("role: worker", "role: x") + "  port: 0"
    )
    assert [p.split(":")[1] for p in found] == ["1", "4", "7"]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_no_mangled_file_ends_in_anything_but_a_list_of_problems(
    piece: str | bytes, where: int
) -> None:
    data = piece.encode(errors="surrogatepass") if isinstance(piece, str) else piece
    mangled = GOOD.encode()[:where] + data + GOOD.encode()[where:]
    with contextlib.suppress(InventoryError):
        assert isinstance(parse(mangled, "x"), Inventory)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.yaml"):
        with pytest.raises(InventoryError):
            load(path)

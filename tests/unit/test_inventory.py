"""Every problem of an inventory is reported at once, with its place and code."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.engines.inventory import load, parse
from sparkctl.errors import FileProblem, InventoryError
from sparkctl.inventory.layers import load_layers
from sparkctl.inventory.models import Inventory

ROOT = Path(__file__).parents[2]
GOOD = """\
cluster: sparks
nodes:
  - {name: spark-1, host: a, role: head}
  - {name: spark-2, host: b, role: worker}
vllm:
  model: /models/m
"""


def details(text: str | bytes) -> list[FileProblem]:
    """Every problem of an inventory with this text."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(InventoryError) as caught:
        parse(data, "x.yaml")
    assert caught.value.exit_code == 2
    return caught.value.details


def problems(text: str | bytes) -> list[str]:
    """The same as lines for people."""
    return [str(detail) for detail in details(text)]


def codes(text: str | bytes) -> list[str]:
    """The same as line:column, path and code."""
    return [f"{d.line}:{d.column} {d.path} {d.code}" for d in details(text)]


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
    ("unknown key", "cluster: sparks", "clustr: sparks", "1:1 clustr unknown-key"),
    ("missing key", "  model: /models/m", "  port: 1", "6:3 vllm.model missing-key"),
    ("wrong role", "role: worker", "role: boss", "4:36 nodes[1].role unknown-value"),
    ("two heads", "role: worker", "role: head", "4:36 nodes[1].role second-head"),
    ("no head", "role: head", "role: worker", "3:3 nodes no-head"),
    ("same name", "spark-2", "spark-1", "4:12 nodes[1].name duplicate-name"),
    ("same host", "host: b", "host: A", "4:27 nodes[1].host duplicate-host"),
    ("bad port", "/models/m", "/m\n  port: 0", "7:9 vllm.port out-of-range"),
    ("text for a port", "/models/m", "/m\n  port: http", "7:9 vllm.port wrong-type"),
    ("base 60", "sparks", "sparks\nssh: {port: 22:22}", "2:13 ssh.port ambiguous-value"),
    ("norway", "spark-1", "no", "3:12 nodes[0].name ambiguous-value"),
    ("octal", "/models/m", "/m\n  port: 0777", "7:9 vllm.port ambiguous-value"),
    ("twice", "cluster: sparks", "cluster: a\ncluster: b", "2:1 cluster duplicate-key"),
    (
        "too many ranks",
        "/models/m",
        "/m\n  tensor_parallel_size: 3",
        "7:25 vllm.tensor_parallel_size too-few-gpus",
    ),
    ("ports collide", "/models/m", "/m\n  port: 6379", "7:9 vllm.port port-taken"),
    ("alias", "sparks", "&a sparks\nssh: {user: *a}", "2:13 None alias"),
    (
        "same address",
        "role: head}",
        "role: head, fabric: {addresses: [1.2.3.4, 1.2.3.4]}}",
        "3:72 nodes[0].fabric.addresses[1] duplicate-address",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_each_problem_has_its_place_and_code(old: str, new: str, expected: str) -> None:
    assert expected in codes(GOOD.replace(old, new, 1))


def test_a_field_among_the_arguments_is_a_problem_at_its_key() -> None:
    (found,) = details(GOOD + "  arguments: {port: 1}\n")
    assert (found.line, found.column, found.path) == (7, 15, "vllm.arguments.port")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1 None empty-file"),
        ("# nothing\n", "1:1 None empty-file"),
        ("- a\n- b\n", "1:1 None wrong-type"),
        ("just text", "1:1 None wrong-type"),
        (b"cluster: \xff\n", "1:10 None not-utf-8"),
        ("cluster: a\n\tssh: {}\n", "2:1 None yaml-syntax"),
        ("cluster: [a\n", "2:1 None yaml-syntax"),
        (b"cluster: a\0b\n", "1:11 None unprintable"),
        ("cluster: a\n---\ncluster: b\n", "2:1 None second-document"),
        ("a: " + "[" * 5000, "1:33 None too-deep"),
        ("a: " + "x" * (1 << 20), "1:1 None too-large"),
        ("a: !!python/object:os.system {}\n", "1:4 None tag"),
    ],
)
def test_what_is_no_inventory_at_all(text: str | bytes, expected: str) -> None:
    assert codes(text) == [expected]


def test_a_key_that_is_a_collection() -> None:
    assert "1:3 None complex-key" in codes("? [a]\n: b\n")


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
    for path, code in ((tmp_path, "unreadable-file"), (tmp_path / "x.yaml", "file-not-found")):
        with pytest.raises(InventoryError) as caught:
            load(path)
        (found,) = caught.value.details
        assert (found.code, found.file, found.line) == (code, str(path), None)
        assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "{}: 1\n",
        GOOD + "env: {{set: {{{}: [1]}}}}\n",
        GOOD + "  arguments: {{{}: 1}}\n",
        GOOD + "  arguments: {{{}.x: 1}}\n",
        GOOD + "ray: {{{}: 1, {}: 2}}\n",
        GOOD + "runtime: {{image: x/y:1, flags: {{{}: 1}}}}\n",
    ],
)
def test_a_key_that_looks_like_a_token_is_masked(text: str) -> None:
    token = "hf_" + "Zq7" * 5
    found = details(text.replace("{}", token).replace("{{", "{").replace("}}", "}"))
    shown = "\n".join(f"{one} {one.document()}" for one in found).lower()
    assert "****" in shown
    assert "zq7" not in shown

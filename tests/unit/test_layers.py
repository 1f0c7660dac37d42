"""Layer files: what may stand in one, and that the starter's are those of env/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.errors import InventoryError
from sparkctl.inventory.layers import load_layers, parse_layer
from sparkctl.serving.environment import BUILT_IN, merge
from sparkctl.serving.inventory import load, parse
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "sparkctl/inventory/starter"


def wanting(*names: str) -> Inventory:
    return parse((GOOD + f"env: {{layers: {list(names)}}}\n").encode(), "x")


def problems(text: str) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        parse_layer("x.env", text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("A B=1", "wanted KEY=VALUE, -KEY or # comment, found 'A B'"),
        ("HF TOKEN=secret", "wanted KEY=VALUE, -KEY or # comment, found 'HF TOKEN'"),
        ("-A=1", "wanted KEY=VALUE, -KEY or # comment, found '-A'"),
        ("A", "wanted KEY=VALUE, -KEY or # comment, found 'A'"),
        ("A=8 # cores", "A: wanted a comment on a line of its own, found one after the value"),
        ("A='x", "A: wanted a quote at the end as at the beginning"),
        ('A="', "A: wanted a quote at the end as at the beginning"),
        ("A=a\x00b", "A: wanted printable text, found a control character"),
        ("A=${HOME}", "A: wanted one of ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE}, ${HCAS}, ${NODE},"
         " found ${HOME}"),
    ],
)  # fmt: skip
def test_each_bad_line_has_its_place_and_shows_no_value(line: str, said: str) -> None:
    assert problems(f"# fine\n{line}\n") == [f"x.env:2: {said}"]


@pytest.mark.parametrize(
    ("line", "value"),
    [("A=", ""), ("A = b ", "b"), ("export A=b", "b"), ("A='b # c'", "b # c"), ("A=b#c", "b#c"),
     ("A=b=c", "b=c"), ("A=x\r", "x"), ("A=\u2028b", "b"), ("- A", None), ("A=$B", "$B")],
)  # fmt: skip
def test_what_a_line_may_say(line: str, value: str | None) -> None:
    assert parse_layer("x", line).values == {"A": value}


def test_every_unreadable_layer_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "latin.env").write_bytes(b"A=1\nB=\xe9\n")
    (tmp_path / "big.env").write_text("#" * 70_000)
    (tmp_path / "bad.env").write_text("?\n")
    (tmp_path / "bom.env").write_bytes(b"\xef\xbb\xbfA=1\n")
    names = ("absent.env", ".", "latin.env", "big.env", "bad.env", "bom.env", "~nobody-at-all/x")
    with pytest.raises(InventoryError) as caught:
        load_layers(wanting(*names), tmp_path)
    wanted = ["No such file", "Is a directory", "line 2 is not UTF-8", "more than 65536 bytes",
              "bad.env:1: wanted KEY=VALUE", "home directory"]  # fmt: skip
    assert len(caught.value.problems) == len(wanted)
    for said, line in zip(wanted, caught.value.problems, strict=True):
        assert said in line


def test_layers_beside_the_inventory_or_anywhere(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/a.env").write_text("A=1\n")
    (tmp_path / "b.env").write_text("B=2\n")
    loaded = wanting("a.env", str(tmp_path / "b.env"))
    assert [layer.values for layer in load_layers(loaded, tmp_path / "here")] == [
        {"A": "1"},
        {"B": "2"},
    ]


@pytest.mark.parametrize("name", ["gb10-vllm.env", "nccl-roce.env", "ray.env"])
def test_the_layers_of_env_are_the_starters(name: str) -> None:
    assert (ROOT / "env" / name).read_bytes() == (STARTER / name).read_bytes()


def test_the_example_for_a_pair_is_the_starters() -> None:
    assert (ROOT / "inventories/two-node.yaml").read_bytes() == (
        STARTER / "two-node.yaml"
    ).read_bytes()


def test_the_shipped_layers_and_the_built_in_values_agree() -> None:
    """Two places hold the recipe: without layers a cluster serves as it does with them."""
    path = ROOT / "inventories/two-node.yaml"
    loaded = load(path)
    layers = load_layers(loaded, path.parent)
    values = {k: s.value for k, s in merge(loaded, loaded.head, layers).items()}
    assert values == BUILT_IN

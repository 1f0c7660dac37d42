"""Layer files: what may stand in one, and that the starter's are those of env/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.inventory import load, parse
from sparkctl.engines.vllm.environment import BUILT_IN, merge
from sparkctl.errors import FileProblem, InventoryError
from sparkctl.inventory.layers import load_layers, parse_layer
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "sparkctl/inventory/starter"


def wanting(*names: str) -> Inventory:
    return parse((GOOD + f"env: {{layers: {list(names)}}}\n").encode(), "x")


def details(text: str) -> list[FileProblem]:
    with pytest.raises(InventoryError) as caught:
        parse_layer("x.env", text)
    return caught.value.details


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("A B=1", "bad-line"),
        ("-A=1", "bad-line"),
        ("A", "bad-line"),
        ("A=8 # cores", "trailing-comment"),
        ("A='x", "unclosed-quote"),
        ('A="', "unclosed-quote"),
        ("A=a\x00b", "unprintable"),
        ("A=${HOME}", "unknown-reference"),
    ],
)
def test_each_bad_line_has_its_place_and_code(line: str, code: str) -> None:
    (found,) = details(f"# fine\n{line}\n")
    assert (found.file, found.line, found.column, found.code) == ("x.env", 2, None, code)
    assert found.path == (None if code == "bad-line" else "A")


def test_a_duplicate_names_the_first_line() -> None:
    (found,) = details("A=1\nB=2\n-A\n")
    assert (found.line, found.path, found.code) == (3, "A", "duplicate-key")
    assert "line 1" in found.text


@pytest.mark.parametrize("line", ["HF TOKEN=secret", "MY_KEY='secret", "MY_KEY=secret # a"])
def test_no_line_shows_its_value(line: str) -> None:
    (found,) = details(line)
    assert "secret" not in str(found)


def test_the_line_that_people_read() -> None:
    """The text is the subject."""
    found = details("A B=1\nA=${HOME}\n")
    assert [str(line) for line in found] == [
        'x.env:1: expected KEY=VALUE, -KEY or # comment, got "A B"',
        "x.env:2: A: unknown reference ${HOME}; known are ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE},"
        " ${HCAS}, ${NODE}",
    ]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=", ""),
        ("A = b ", "b"),
        ("export A=b", "b"),
        ("A='b # c'", "b # c"),
        ("A=b#c", "b#c"),
        ("A=b=c", "b=c"),
        ("A=x\r", "x"),
        ("A=\u2028b", "b"),
        ("- A", None),
        ("A=$B", "$B"),
    ],
)
def test_what_a_line_may_say(line: str, value: str | None) -> None:
    assert parse_layer("x", line).values == {"A": value}


def test_every_unreadable_layer_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "latin.env").write_bytes(b"A=1\nB=\xe9\n")
    (tmp_path / "big.env").write_text("#" * 70_000)
    (tmp_path / "bad.env").write_text("?\n")
    (tmp_path / "bom.env").write_bytes(b"\xef\xbb\xbfA=1\n")
    names = ("absent.env", ".", "latin.env", "big.env", "bad.env", "bom.env", "~nobody-at-all/x")
    with pytest.raises(InventoryError) as caught:
        load_layers(wanting(*names), tmp_path)
    found = [(Path(d.file).name, d.line, d.code) for d in caught.value.details]
    assert found == [
        ("absent.env", None, "file-not-found"),
        (tmp_path.name, None, "unreadable-file"),
        ("latin.env", 2, "not-utf-8"),
        ("big.env", None, "too-large"),
        ("bad.env", 1, "bad-line"),
        ("x", None, "unreadable-file"),
    ]


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


def test_a_layer_named_as_a_url_is_shown_without_its_password(tmp_path: Path) -> None:
    url = "https://bob:Pw-Of-Theirs@host/x.env"
    with pytest.raises(InventoryError) as caught:
        load_layers(wanting(url), tmp_path)
    assert "Pw-Of-Theirs" not in str(caught.value)
    assert "https://****@host/x.env" in str(caught.value)
    path = tmp_path / url
    path.parent.mkdir(parents=True)
    path.write_text("A=1\n")
    (layer,) = load_layers(wanting(url), tmp_path)
    assert layer.name == "https://****@host/x.env"

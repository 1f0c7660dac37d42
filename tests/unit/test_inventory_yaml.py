"""The YAML file itself: what it may hold, how big it may be, what only YAML 1.1 reads so."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.errors import InventoryError
from sparkctl.inventory import yamlread
from sparkctl.inventory.models import Inventory
from sparkctl.serving.inventory import load, parse
from tests.unit.test_inventory import GOOD, problems


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no", "the truth value false; quote it, or write false"),
        ("Yes", "the truth value true; quote it, or write true"),
        ("off", "the truth value false; quote it, or write false"),
        ("22:22", "a number in base 60, 1342; quote it if it is text"),
        ("1:30.5", "a number in base 60, 90.5; quote it if it is text"),
        ("010", "an octal number, 8; quote it if it is text"),
        ("-017", "an octal number, -15; quote it if it is text"),
        ("2026-11-21", "a date, 2026-11-21; quote it if it is text"),
    ],
)
def test_what_only_yaml_1_1_reads_so(value: str, said: str) -> None:
    assert problems(GOOD + f"ssh:\n  user: {value}\n") == [
        f"x.yaml:8:9: ssh.user: wanted an unambiguous value, found {value}, which YAML 1.1 reads as"
        f" {said}"
    ]
    assert parse((GOOD + f"ssh:\n  user: '{value}'\n").encode(), "x").ssh.user == value


@pytest.mark.parametrize("value", ["y", "n", "089", "1e3", "0o10", "12:99", "a:b", "10.0.0.1"])
def test_what_yaml_1_1_leaves_alone_is_text(value: str) -> None:
    assert parse((GOOD + f"ssh: {{user: {value}}}\n").encode(), "x").ssh.user == value


@pytest.mark.parametrize(
    "value",
    ["!!timestamp foo", '!!int ""', "!!bool foo", '!!float ""', "!!binary x", "!!set {a}", "!x y"],
)
def test_tags_are_refused(value: str) -> None:
    assert problems(f"cluster: {value}\n")[0].startswith(
        "x.yaml:1:10: wanted a plain value, found the tag !"
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cluster: =\n", "x.yaml:1:10: cluster: wanted a plain value, found =; quote it"),
        ("<<: {cluster: a}\n", "x.yaml:1:1: (top): wanted the keys themselves, found the merge key"
         " <<"),
        ('ssh: {user: "a\\0b"}\n', "x.yaml:1:13: ssh.user: wanted printable text, found 'a\\x00b'"),
        ('"\\ud800": 1\n', "x.yaml:1:1: (top): wanted a printable key, found '\\ud800'"),
        (f"vllm: {{port: {'1' * 5000}}}\n", "x.yaml:1:14: vllm.port: wanted a plain value, found"
         f" {'1' * 59}…; quote it"),
        ("\n".join(" " * n + "a:" for n in range(99)), "x.yaml:31:31: wanted at most 30 levels,"
         " found more"),
    ],
)  # fmt: skip
def test_traps(text: str, wanted: str) -> None:
    assert wanted in problems(text)


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm() -> None:
    assert parse(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(), "x") == parse(
        GOOD.encode(), "x"
    )


def test_utf_16_is_told_as_what_it_is_not() -> None:
    assert problems(GOOD.encode("utf-16")) == ["x.yaml:1:1: wanted UTF-8, found the byte 0xff"]


def test_the_worst_file_of_the_allowed_size_takes_seconds() -> None:
    start = time.monotonic()
    keys = "".join(f"k{n}:\n" for n in range(yamlread.MAX_BYTES // 10))
    assert len(problems(keys)) > 10_000
    assert time.monotonic() - start < 20


def test_no_file_is_read_to_its_end() -> None:
    with pytest.raises(InventoryError, match="wanted at most 131072 bytes, found more"):
        load(Path("/dev/zero"))


def test_a_pipe_will_do(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    assert load(pipe).cluster == "sparks"
    writer.join()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent.yaml", "wanted an inventory, there is no such file"),
        (".", "wanted a file, found a directory"),
        ("x\0y", "embedded null byte"),
        ("n" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load(tmp_path / name)
    assert len(caught.value.problems) == 1
    assert said in caught.value.problems[0]
    assert caught.value.hint


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
MORE_KEYS = ("name", "host", "role", "port", "set", "layers", "cage", "addresses", "arguments", "x")
KEYS = st.sampled_from([*Inventory.model_fields, *MORE_KEYS])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_tree_in_place_of_anything_ends_in_problems(tree: dict[str, object]) -> None:
    """JSON is YAML: every type at every key, with rules over what is valid beside it."""
    base = {
        "cluster": "c",
        "nodes": [{"name": "a", "host": "h", "role": "head"}],
        "vllm": {"model": "/m", "tensor_parallel_size": 1},
    }
    lines: list[str] = []
    try:
        parse(json.dumps(base | tree).encode(), "x")
    except InventoryError as error:
        lines = error.problems
    assert [x for x in lines if not x.startswith("x:1:") or "Input should" in x] == []


@pytest.mark.parametrize("unfit", ["\\u202e", "\\n", "\\u2028", "\\t", "\\u2066", "\\x9b", "\\e"])
def test_a_key_is_one_printable_line(unfit: str) -> None:
    """Each would change what the message about it looks like."""
    found = problems(GOOD + f'"a{unfit}b": 1\n')
    assert len(found) == 1
    assert found[0].startswith("x.yaml:7:1: (top): wanted a printable key, found 'a\\")
    assert found[0].isprintable()


@pytest.mark.parametrize("unfit", ["\\u202e", "\\u2028", "\\u2069", "\\x9b", "\\e"])
def test_a_value_without_what_turns_the_writing_around(unfit: str) -> None:
    found = problems(GOOD + f'env: {{set: {{A: "a{unfit}b"}}}}\n')
    assert len(found) == 1
    assert found[0].startswith("x.yaml:7:16: env.set.A: wanted printable text, found 'a\\")
    assert found[0].isprintable()


def test_a_value_of_several_lines_is_taken_and_shown_in_one() -> None:
    text = GOOD + 'env: {set: {A: "a\\nb 👩\\u200d🚀"}}\n'
    assert parse(text.encode(), "x").env.set["A"] == "a\nb 👩\u200d🚀"
    found = problems(GOOD + 'ssh: {port: "a\\nb"}\n"c\\td\\r": {}\n')
    assert len(found) == 2
    assert all(line.isprintable() for line in found)


def test_a_files_name_is_shown_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InventoryError) as caught:
        load(tmp_path / "a\n\x1b[2J.yaml")
    assert caught.value.message.isprintable()

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

from sparkctl.engines.inventory import load, parse
from sparkctl.errors import FileProblem, InventoryError
from sparkctl.inventory import yamlread
from sparkctl.inventory.models import Inventory
from tests.unit.test_inventory import GOOD, codes, details, problems


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        ("no", "false (boolean); quote it, or write false"),
        ("Yes", "true (boolean); quote it, or write true"),
        ("off", "false (boolean); quote it, or write false"),
        ("22:22", "1342 (base 60); quote it if text"),
        ("1:30.5", "90.5 (base 60); quote it if text"),
        ("010", "8 (octal); quote it if text"),
        ("-017", "-15 (octal); quote it if text"),
        ("2026-11-21", "2026-11-21 (date); quote it if text"),
    ],
)
def test_what_only_yaml_1_1_reads_so(value: str, read_as: str) -> None:
    """The text shows what YAML 1.1 makes of it."""
    (found,) = details(GOOD + f"ssh:\n  user: {value}\n")
    assert (found.line, found.column, found.path) == (8, 9, "ssh.user")
    assert found.code == "ambiguous-value"
    assert f" {value}: YAML 1.1 reads it as {read_as}" in found.text
    assert parse((GOOD + f"ssh:\n  user: '{value}'\n").encode(), "x").ssh.user == value


@pytest.mark.parametrize("value", ["y", "n", "089", "1e3", "0o10", "12:99", "a:b", "10.0.0.1"])
def test_what_yaml_1_1_leaves_alone_is_text(value: str) -> None:
    assert parse((GOOD + f"ssh: {{user: {value}}}\n").encode(), "x").ssh.user == value


@pytest.mark.parametrize(
    "value",
    ["!!timestamp foo", '!!int ""', "!!bool foo", '!!float ""', "!!binary x", "!!set {a}", "!x y"],
)
def test_tags_are_refused(value: str) -> None:
    assert codes(f"cluster: {value}\n") == ["1:10 None tag"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cluster: =\n", "1:10 cluster not-plain"),
        ("<<: {cluster: a}\n", "1:1 None merge-key"),
        ('ssh: {user: "a\\0b"}\n', "1:13 ssh.user unprintable"),
        ('"\\ud800": 1\n', "1:1 None unprintable"),
        (f"vllm: {{port: {'1' * 5000}}}\n", "1:14 vllm.port not-plain"),
        ("\n".join(" " * n + "a:" for n in range(99)), "31:31 None too-deep"),
    ],
)
def test_traps(text: str, expected: str) -> None:
    assert expected in codes(text)


def test_a_long_value_is_cut_in_the_text() -> None:
    lines = problems(f"vllm: {{port: {'1' * 5000}}}\n")
    assert any("1" * 59 + "…" in line and len(line) < 200 for line in lines)


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm() -> None:
    assert parse(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(), "x") == parse(
        GOOD.encode(), "x"
    )


def test_utf_16_is_not_utf_8() -> None:
    assert codes(GOOD.encode("utf-16")) == ["1:1 None not-utf-8"]


def test_the_worst_file_of_the_allowed_size_takes_seconds() -> None:
    start = time.monotonic()
    keys = "".join(f"k{n}:\n" for n in range(yamlread.MAX_BYTES // 10))
    assert len(problems(keys)) > 10_000
    assert time.monotonic() - start < 20


def test_no_file_is_read_to_its_end() -> None:
    with pytest.raises(InventoryError) as caught:
        load(Path("/dev/zero"))
    assert [d.code for d in caught.value.details] == ["too-large"]


def test_a_pipe_will_do(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    assert load(pipe).cluster == "sparks"
    writer.join()


@pytest.mark.parametrize(
    ("name", "code", "reason"),  # the reason is the system's
    [
        ("absent.yaml", "file-not-found", ""),
        (".", "unreadable-file", "Is a directory"),
        ("x\0y", "unreadable-file", "embedded null byte"),
        ("n" * 300, "unreadable-file", "File name too long"),
    ],
)
def test_what_cannot_be_read_is_reported(tmp_path: Path, name: str, code: str, reason: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load(tmp_path / name)
    (found,) = caught.value.details
    assert (found.code, found.line) == (code, None)
    assert reason in found.text
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
    """JSON is YAML: every type at every key, with rules over the valid rest."""
    base = {
        "cluster": "c",
        "nodes": [{"name": "a", "host": "h", "role": "head"}],
        "vllm": {"model": "/m", "tensor_parallel_size": 1},
    }
    found: list[FileProblem] = []
    try:
        parse(json.dumps(base | tree).encode(), "x")
    except InventoryError as error:
        found = error.details
    # "Input should" is how pydantic begins a text that has no words here.
    assert [d for d in found if d.line != 1 or "Input should" in d.text] == []


@pytest.mark.parametrize("unfit", ["\\u202e", "\\n", "\\u2028", "\\t", "\\u2066", "\\x9b", "\\e"])
def test_a_key_is_one_printable_line(unfit: str) -> None:
    """Each would change what the message about it looks like."""
    found = problems(GOOD + f'"a{unfit}b": 1\n')
    assert len(found) == 1
    assert found[0].startswith('x.yaml:7:1: unprintable key "a\\')
    assert found[0].isprintable()


@pytest.mark.parametrize("unfit", ["\\u202e", "\\u2028", "\\u2069", "\\x9b", "\\e"])
def test_a_value_without_what_turns_the_writing_around(unfit: str) -> None:
    found = problems(GOOD + f'env: {{set: {{A: "a{unfit}b"}}}}\n')
    assert len(found) == 1
    assert found[0].startswith('x.yaml:7:16: env.set.A: unprintable character in "a\\')
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

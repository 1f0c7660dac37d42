"""sparkctl doctor and fabric without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparkctl.doctor.catalog import CHECKS
from tests.cli.test_cli import sparkctl


def test_the_checks_are_listed_and_explained() -> None:
    listed = sparkctl("doctor", "--list-checks").stdout
    assert [line.split()[0] for line in listed.splitlines()] == [c.id for c in CHECKS]
    documents = json.loads(sparkctl("doctor", "--list-checks", "--json").stdout)
    assert {"check", "scope", "preflight", "what", "why", "how", "remedy", "source"} == {
        *documents[0]
    }
    told = sparkctl("doctor", "--explain", "fabric.hca").stdout
    assert told.startswith("fabric.hca\n  what    NCCL_IB_HCA")
    assert sparkctl("doctor", "--list-checks", "--check", "host").stdout.startswith("host.")


@pytest.mark.parametrize("options", [("--check", "x.y"), ("--skip", "x.y"), ("--explain", "x.y")])
def test_an_unknown_check_is_told_before_any_node_is_reached(options: tuple[str, ...]) -> None:
    done = sparkctl("doctor", *options)
    assert done.returncode == 2
    assert "no check is called x.y" in done.stderr
    assert sparkctl("up", "--ignore-check", "x.y").returncode == 2


def test_a_missing_inventory_is_usage(tmp_path: Path) -> None:
    done = sparkctl("doctor", cwd=tmp_path)
    assert done.returncode == 2
    assert "inventory" in done.stderr


def match(*args: str) -> dict[str, object]:
    done = sparkctl("fabric", "match", *args, "--json")
    assert done.returncode == 0
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_match_answers_what_is_selected_and_why() -> None:
    found = match("--hca", "rocep1s0f0", "--device", "rocep1s0f0", "--device", "x:2:down")
    assert found == {
        "value": "rocep1s0f0",
        "selected": ["rocep1s0f0"],
        "devices": [
            {"name": "rocep1s0f0", "selected": True, "reason": "its name is rocep1s0f0"},
            {"name": "x", "selected": False,
             "reason": "port 2 is not ACTIVE, which NCCL skips without a word"},
        ],
        "warnings": [],
    }  # fmt: skip
    ports = ("--hca", "a:", "--device", "a")
    assert match(*ports)["selected"] == ["a"]
    assert match(*ports, "--nccl-version", "2.30.4")["selected"] == []
    links = ("--ifname", "en", "--interface", "en0:down", "--interface", "en1")
    assert match(*links)["selected"] == ["en1"]
    assert match(*links, "--nccl-version", "2.28.2")["selected"] == ["en0", "en1"]
    assert match("--device", "a")["value"] is None


def test_match_in_words() -> None:
    printed = sparkctl("fabric", "match", "--hca", "A B", "--device", "a").stdout
    assert "selected: nothing" in printed
    assert "warning: a space" in printed


@pytest.mark.parametrize(
    "args",
    [(), ("--hca", "x"), ("--hca", "x", "--ifname", "y", "--device", "x"),
     ("--device", "a:1:broken"), ("--device", "a:1:2:3"), ("--device", ":1"),
     ("--interface", "e:sideways"), ("--device", "a", "--nccl-version", "new")],
)  # fmt: skip
def test_match_refuses_what_it_cannot_take(args: tuple[str, ...]) -> None:
    done = sparkctl("fabric", "match", *args)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr

"""sparkctl doctor without a cluster."""

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

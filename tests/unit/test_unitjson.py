"""Units as JSON: whole there and back, strictly read, and without secrets where they are kept."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from sparkctl.node import unitjson, units
from sparkctl.secret.value import Secret

FULL = units.Unit(
    id="m/0/vllm/a",
    node="a",
    kind="vllm",
    title="vLLM",
    group="m/0",
    program=units.Program(("vllm", "--key", "x"), {"A": "1"}, 2.5),
    needs=(units.Need("m/0/ray/a", units.REACHABLE, follows=False),),
    members=(units.Member("a", "rank", 2),),
    reachable=units.Listens("10.0.0.1", 6379),
    ready=(
        units.Listens("10.0.0.1", 8000),
        units.RayNodes("10.0.0.1:6379", "python", {"10.0.0.1": 1.0}, 60.0),
        units.RayRanks("10.0.0.1:6379", "python", {"10.0.0.1": 1}),
        units.LogStages("vllm", 600.0),
        units.Generates("http://10.0.0.1:8000", "m"),
    ),
    stop=units.Stop(5.0, 30.0, ("gcs_server",), leader=True, argv=("docker", "stop")),
    digest="d",
)
LEAST = units.Unit("m/0/x/a", "a", "x", "X", "m/0", units.Program(("x",)))


@pytest.mark.parametrize("unit", [FULL, LEAST])
def test_a_unit_comes_back_whole(unit: units.Unit) -> None:
    assert unitjson.unit_of(json.loads(json.dumps(unitjson.document(unit)))) == unit


def test_each_field_has_its_reader_and_each_ready_its_name() -> None:
    for cls, readers in unitjson.FIELDS.items():
        assert is_dataclass(cls)
        assert {f.name for f in fields(cls)} == {*readers}, cls
    assert {type(ready) for ready in FULL.ready} == {*unitjson.KINDS.values()}


def test_what_is_kept_has_no_secret() -> None:
    program = units.Program(("vllm", "--key", Secret("hunter2")), {"A": Secret("hunter3")})
    kept = json.dumps(unitjson.document(replace(LEAST, program=program)))
    assert "hunter" not in kept
    assert json.loads(kept)["program"]["argv"] == ["vllm", "--key", "****"]


def changed(path: tuple[Any, ...], value: Any) -> Any:
    document: Any = json.loads(json.dumps(unitjson.document(FULL)))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("color",), 1, "Unit: unknown field color"),
        (("stop", "color"), 1, "Stop: unknown field color"),
        (("ready", 0, "kind"), "smells", "unknown kind 'smells'"),
        (("ready", 0, "kind"), ["listens"], "unknown kind"),
        (("ready", 0), {"kind": "generates"}, "Generates: missing field base"),
        (("reachable", "kind"), "generates", "Generates: "),
        (("reachable",), {"kind": "log-stages", "engine": "e", "stall": 1}, "expected an address"),
        (("program", "argv"), "vllm", "expected a list"),
        (("program", "environment"), {"A": 1}, "expected text"),
        (("members", 0, "count"), 1.5, "expected a whole number"),
        (("members", 0, "count"), True, "expected a number"),
        (("needs", 0, "until"), "later", "expected along or started or reachable or ready"),
        (("needs", 0, "follows"), 1, "expected true or false"),
        (("stop", "grace"), float("nan"), "expected a number from 0"),
        (("stop", "grace"), -1, "expected a number from 0"),
    ],
)
def test_what_is_no_unit_is_refused(path: tuple[Any, ...], value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unitjson.unit_of(changed(path, value))


@pytest.mark.parametrize("value", [None, [], "unit", {}, 7])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"expected an object|missing field"):
        unitjson.unit_of(value)

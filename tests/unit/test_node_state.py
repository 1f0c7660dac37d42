"""applied.json: whose cluster it is, the units' starts, and what older releases wrote there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import files, marks, state

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "m/0/vllm/a"
WHO: Any = {"by": {"who": "u@laptop (pid 1)", "when": "then"}, "nodes": {"a": {"host": "10.0.0.1"}}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def wrote(text: str) -> None:
    files.write({"cluster": "c", "files": {state.NAME: text}})


def join(number: str) -> Any:
    request: Any = {"cluster": "c", "id": number, **WHO}
    return state.join(request)


def put(unit: str = UNIT, **entry: Any) -> None:
    with state.changing("c") as document:
        state.record(document, unit, {"run": "r1", "phase": "starting", **entry})


def test_a_cluster_has_one_id_and_another_is_refused() -> None:
    assert join("1") == {"other": None}
    put()
    later: Any = {"by": {"who": "v", "when": "later"}, "nodes": {}}
    assert state.join({"cluster": "c", "id": "1", "by": later["by"], "nodes": {}}) == {
        "other": None
    }
    answer = join("2")
    assert answer == {"other": {"id": "1", **later}}
    found = state.read("c")
    assert (found["id"], found["by"], [*found["units"]]) == ("1", later["by"], [UNIT])


def test_a_phase_is_that_of_one_run() -> None:
    put()
    request: Any = {"cluster": "c", "unit": UNIT, "run": "r1", "phase": "ready"}
    assert state.phase(request) == {"changed": True}
    assert state.phase(request | {"run": "r2", "phase": "failed"}) == {"changed": False}
    assert state.phase(request | {"unit": "m/0/ray/a"}) == {"changed": False}
    assert state.read("c")["units"][UNIT]["phase"] == "ready"
    assert state.forget({"cluster": "c", "units": [UNIT, "x"]}) == {"forgotten": [UNIT]}
    assert state.read("c")["units"] == {}


RAY = {"run": "r1", "argv": ["ray"], "salt": "s", "environment": {}}
OLDER = [
    ({"schema": 1, "units": {"ray": RAY, "vllm": {**RAY, "run": "r2"}}}, RAY),
    ({"units": {"ray": RAY, "vllm": RAY}}, RAY),
    (
        {"ray": "abc", "ray_run": "r1", "vllm": "d", "vllm_run": "r2"},
        {"run": "r1", "digest": "abc"},
    ),
]


@pytest.mark.parametrize(("document", "ray"), OLDER)
def test_what_an_older_release_wrote_stays_until_the_unit_starts_again(
    document: Any, ray: Any
) -> None:
    wrote(json.dumps(document))
    assert join("1") == {"other": None}
    found = json.loads((files.home("c") / state.NAME).read_text())
    assert (found["schema"], found["older"]["ray"]) == (state.SCHEMA, ray)
    put(UNIT)
    assert [*state.read("c")["older"]] == ["ray"]
    assert state.forget({"cluster": "c", "units": ["ray"]}) == {"forgotten": ["ray"]}
    assert [*state.read("c")["units"]] == [UNIT]


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"schema": 2, "units": [1]}'])
def test_a_damaged_file_has_no_entries_and_is_replaced(text: str) -> None:
    wrote(text)
    assert (state.read("c")["id"], state.programs("c")) == ("", [])
    join("1")
    assert state.read("c")["id"] == "1"


@pytest.mark.parametrize("schema", [3, "2", 0, None, [], 1e99])
def test_a_file_of_a_newer_schema_is_kept(schema: object) -> None:
    text = json.dumps({"schema": schema, "units": {UNIT: {"pid": 2}}})
    wrote(text)
    with pytest.raises(SystemExit, match=r"applied\.json has unknown schema .*; update sparkctl"):
        state.check({"cluster": "c"})
    with pytest.raises(SystemExit, match="unknown schema"):
        join("1")
    assert state.programs("c") == []
    assert (files.home("c") / state.NAME).read_text() == text


def test_only_programs_of_this_boot_count() -> None:
    here: dict[str, Any] = {
        "pid": 7,
        "started": 9,
        "boot_id": state.boot_id(),
        "log": "/l",
        "offset": 0,
    }
    put(**here)
    put("m/0/ray/a", **{**here, "boot_id": "another"})
    put("m/0/router/a", **{**here, "pid": "7"})
    wrongs: list[dict[str, Any]] = [{"pid": 1}, {"started": None}, {"log": 1}, {"offset": -1}]
    for number, wrong in enumerate(wrongs):
        put(f"m/{number}/x/a", **{**here, **wrong})
    assert state.programs("c") == [marks.Program("c", "r1", UNIT, 7, 9)]


def test_reading_makes_nothing_and_changing_leaves_the_record_alone(home: Path) -> None:
    assert state.check({"cluster": "c"}) == {}
    assert [*home.iterdir()] == []
    put()
    assert {p.name for p in files.home("c").iterdir()} == {state.NAME}


def test_a_lock_file_that_is_none_is_named(home: Path) -> None:
    (files.state_dir("c") / state.GUARD).symlink_to("elsewhere")
    with pytest.raises(SystemExit, match=r"applied\.lock is not a file of this account; remove it"):
        put()

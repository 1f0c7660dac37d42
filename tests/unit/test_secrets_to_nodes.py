"""What a node gets: the real text on stdin; a log's header and a record have it masked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import RemoteError, ServingError
from sparkctl.facts.unread import Missing
from sparkctl.node import journal, launch, prepare
from sparkctl.operations import apply, ending
from sparkctl.operations.run import undo
from tests.unit.answers import process
from tests.unit.asked import CLUSTER, PW, live, run
from tests.unit.clusterpair import HEAD, SERVE, WORKER, nodes, without

if TYPE_CHECKING:
    from pathlib import Path


def test_the_environment_file_holds_the_real_key() -> None:
    made, session = run()
    apply.write_files(made)
    written = session.files("spark-1")["environment.json"]
    assert json.loads(written)["variables"]["VLLM_API_KEY"] == f"{PW}1"
    assert f"{PW}1" not in session.files("spark-2")["environment.json"]


def test_all_nodes_of_a_service_get_the_same_random_token() -> None:
    made, session = run()
    apply.write_files(made)
    tokens = {session.files(name)["ray-token"] for name in ("spark-1", "spark-2")}
    assert len(tokens) == 1
    assert len(tokens.pop()) == 64


def test_a_node_that_joins_gets_the_token_of_those_that_go_on_running() -> None:
    known = live()
    known["spark-2"]["ours"] = []
    made, session = run(known)
    apply.write_files(made)
    assert session.files("spark-2")["ray-token"] == "kept-token"
    assert session.files("spark-1")["ray-token"] == "kept-token"


def test_a_token_that_could_not_be_read_is_not_replaced() -> None:
    """The node's Ray would not be let in."""
    known = live()
    known["spark-2"]["ours"] = []
    made, session = run(known, files_read={})
    with pytest.raises(Missing, match="ray-token could not be read"):
        apply.write_files(made)
    assert ("spark-2", "prepare.prepare") not in session.requests


def test_only_nodes_where_something_starts_are_written_to() -> None:
    made, session = run(without(live(), "spark-1", role="vllm"))
    apply.write_files(made)
    assert [node for node, call in session.requests if call == "prepare.prepare"] == ["spark-1"]
    # All of them are told which cluster they are of.
    assert [n for n, call in session.requests if call == "state.join"] == ["spark-1", "spark-2"]
    joined = session.requests["spark-2", "state.join"]
    assert (joined["id"], [*joined["nodes"]]) == ("id-1", ["spark-1", "spark-2"])


def test_a_folder_of_a_container_that_cannot_be_made_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "change", lambda _: {})
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file/hf")
    request: Any = {"cluster": "c", "owner": "up/1", "temp_dir": "/x", "folders": [folder]}
    answer = prepare.prepare(request)
    made, _ = run(prepare_prepare=answer)
    (desired,) = made.outlook.desired
    places = {n: replace(p, environment={"HF_HOME": folder}) for n, p in desired.places.items()}
    made.outlook = replace(made.outlook, desired=(replace(desired, places=places),))
    with pytest.raises(RemoteError, match=f"cannot make {folder}.*: Not a directory") as raised:
        apply.write_files(made)
    assert "change HF_HOME" in str(raised.value)


@pytest.mark.parametrize("exists", [True, False])
def test_files_that_were_not_there_before_are_removed_by_a_rollback(exists: bool) -> None:
    known = nodes(CLUSTER)
    for found in known.values():
        found["state"]["exists"] = exists
    made, session = run(known)
    apply.write_files(made)
    undo(made)
    removed = [node for node, call in session.requests if call == "stop.remove"]
    assert removed == ([] if exists else ["spark-2", "spark-1"])


def test_vllm_gets_its_argv_and_the_header_and_record_none_of_its_secrets() -> None:
    made, session = run()
    apply.start(made, [SERVE])
    request = session.requests["spark-1", "launch.start"]
    assert request["argv"][-1] == f"http://bob:{PW}2@h"
    assert "http://****@h" in request["shown"]
    assert PW not in request["shown"]
    assert PW not in json.dumps(request["record"])
    assert f"{PW}1" not in json.dumps(request)


def test_a_start_is_marked_with_its_unit_and_run_and_recorded_with_both() -> None:
    made, session = run()
    apply.start(made, [HEAD])
    request = session.requests["spark-1", "launch.start"]
    assert request["env"]["SPARKCTL_CLUSTER"] == f"sparks/{made.id}"
    assert (request["env"]["SPARKCTL_UNIT"], request["env"]["SPARKCTL_ROLE"]) == (HEAD, "ray")
    assert (request["unit"], request["run"]) == (HEAD, made.id)
    assert request["record"]["unit"]["id"] == HEAD
    assert request["record"]["digest"] == made.outlook.units[HEAD].digest


def test_a_rollback_ends_only_what_this_run_started() -> None:
    made, session = run()
    apply.start(made, [WORKER])
    undo(made)
    request = session.requests["spark-2", "stop.stop"]
    assert (request["units"], request["run"]) == ([WORKER], made.id)


def test_what_is_replaced_is_stopped_whoever_started_it() -> None:
    made, session = run(live())
    ending.stop(made, [HEAD])
    request = session.requests["spark-1", "stop.stop"]
    assert (request["units"], request["run"]) == ([HEAD], None)
    assert request["last"] == ["gcs_server"]


def test_what_one_node_has_recorded_names_no_command_for_another() -> None:
    known, gone = live(), "gone/0/ray/spark-2"
    first, second = (known[node]["state"]["files"] for node in ("spark-1", "spark-2"))
    record = json.loads(first["applied.json"])
    for name in (WORKER, gone):
        entry = json.loads(json.dumps(record["units"][HEAD]))
        entry["unit"] |= {"id": name, "node": "spark-2"}
        entry["unit"]["stop"]["argv"] = ["rm"]
        record["units"][name] = entry
    first["applied.json"], second["applied.json"] = json.dumps(record), None
    known["spark-2"]["ours"] = []
    made, session = run(known)
    for name in (WORKER, gone):
        assert made.outlook.seen.recorded[name].stop.argv == ("rm",)
        ending.stop(made, [name])
        assert session.requests["spark-2", "stop.stop"]["argv"] == []


def test_a_process_that_is_left_ends_the_run() -> None:
    left = {"stopped": [], "remaining": [process("ray", "/ray/raylet")]}
    made, _ = run(live(), stop_stop=left)
    with pytest.raises(ServingError, match="still running after SIGKILL") as caught:
        ending.stop(made, [WORKER])
    assert (caught.value.code, caught.value.node) == ("processes-left", "spark-2")


@pytest.mark.parametrize("shown", ["sh -c ****", None])
def test_the_logs_header_is_what_may_be_shown(
    shown: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    argv = ["/bin/sh", "-c", f": {PW}"]
    request: Any = {"cluster": "c", "argv": argv, "env": {}, "unit": "x", "run": "r", "timeout": 10}
    answer = launch.run(request if shown is None else request | {"shown": shown})
    assert answer["status"] == 0
    header = next((tmp_path / ".sparkctl/c").rglob("x.log")).read_text()
    assert header.startswith("== sparkctl ")
    assert header.endswith(f": {shown or '/bin/sh'}\n")

"""What was started, as it is recorded on a node, and what the next `up` says is different."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.facts.unread import Missing
from sparkctl.plan import record as records
from sparkctl.plan.record import SCHEMA, Record, make, state
from tests.unit.answers import node_facts
from tests.unit.clusterpair import CLUSTER, HEAD, SERVE, applied, desired, entry, nodes, running
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.node import NodeFacts

ARGV = ("/v/bin/vllm", "serve", "m", "--max-num-seqs", "64", "--trust-remote-code")
ENV = {"NCCL_IB_HCA": "a,b", "HF_TOKEN": "hf_planted_secret_1"}
OLD_RAY = "vllm/0/ray/spark-1"


def facts(written: str | None) -> NodeFacts:
    found = {"exists": True, "path": "/s", "temp_dir": False, "lease": None}
    return node_facts({"state": {**found, "files": {"applied.json": written}}})


def read(written: str | None) -> dict[str, Record]:
    return {**state(facts(written), "vllm", "spark-1").units}


def changes(before: Record, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """What the next `up` says."""
    return before.changes(before.again(argv, env))


def schema_1(**units: Record) -> str:
    """As the sparkctl before units wrote it."""
    found = {
        kind: {
            "run": r.run,
            "salt": r.salt,
            "argv": r.argv,
            "environment": dict(r.environment or {}),
        }
        for kind, r in units.items()
    }
    return json.dumps({"schema": 1, "units": found})


def digest(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """As it was recorded before there was a schema."""
    value = json.dumps([dict(env), list(argv)], sort_keys=True)
    return hashlib.sha256(value.encode()).hexdigest()


def test_it_comes_back_and_holds_no_secret() -> None:
    written = applied({SERVE: {**make("r1", ARGV, ENV).document(), "run": "r1"}})
    assert "planted" not in written
    found = read(written)[SERVE]
    assert (found.run, found.argv) == ("r1", ARGV)
    assert changes(found, ARGV, ENV) == []


def test_a_unit_comes_back_with_how_it_is_stopped_and_asked() -> None:
    made = desired()
    found = state(facts(applied({SERVE: entry(made, SERVE, phase="starting")})), "vllm", "spark-1")
    assert found.id == "id-1"
    assert (found.by["who"], [*found.nodes]) == ("alice@laptop", ["spark-1", "spark-2"])
    record = found.units[SERVE]
    assert record.unit == made.units[SERVE]
    assert (record.phase, record.pid, record.since) == ("starting", 7, 5.0)
    assert record.digest == made.units[SERVE].digest


def test_a_secret_is_hashed_with_a_salt_of_its_own() -> None:
    first, second = make("r", ARGV, ENV), make("r", ARGV, ENV)
    assert first.environment != second.environment
    assert first.digest != second.digest


def test_an_equal_start_has_an_equal_digest() -> None:
    first = make("r1", ARGV, ENV)
    assert first.again(ARGV, ENV).digest == first.digest
    assert make("r2", ARGV, ENV, salt=first.salt).digest == first.digest, "the run is no part of it"
    assert first.again(ARGV, {**ENV, "HF_TOKEN": "hf_planted_secret_2"}).digest != first.digest
    assert first.again((*ARGV, "--x"), ENV).digest != first.digest


@pytest.mark.parametrize(
    ("argv", "env", "said"),
    [
        (("--max-num-seqs", "8", "--trust-remote-code"), {}, ["--max-num-seqs: 64 -> 8"]),
        (("--max-num-seqs", "64"), {}, ["--trust-remote-code removed"]),
        ((*ARGV[3:], "--x", "1 2"), {}, ["--x added: 1 2"]),
        (ARGV[3:], {"NCCL_IB_HCA": "a"}, ["NCCL_IB_HCA: a,b -> a"]),
        (ARGV[3:], {"HF_TOKEN": "hf_planted_secret_2"}, ["HF_TOKEN changed"]),
        (ARGV[3:], {"MY_TOKEN": "planted"}, ["MY_TOKEN added: ****"]),
        (
            ("--trust-remote-code", "--max-num-seqs", "64"),
            {},
            ["its arguments are in another order"],
        ),
    ],
)
def test_what_changed_is_named_and_no_secret_shown(
    argv: tuple[str, ...], env: dict[str, str], said: list[str]
) -> None:
    assert changes(make("r", ARGV, ENV), (*ARGV[:3], *argv), {**ENV, **env}) == said


def test_another_model_is_named() -> None:
    (said,) = changes(make("r", ARGV, ENV), ("/v/bin/vllm", "serve", "n", *ARGV[3:]), ENV)
    assert said == "program: /v/bin/vllm serve m -> /v/bin/vllm serve n"


def test_an_older_sparkctls_digests_still_compare() -> None:
    older = {"ray": "x", "ray_run": "r1", "vllm": digest(ARGV, ENV), "vllm_run": "r2"}
    found = read(json.dumps(older))
    assert {unit: record.run for unit, record in found.items()} == {OLD_RAY: "r1", SERVE: "r2"}
    assert changes(found[SERVE], ARGV, ENV) == []
    assert changes(found[OLD_RAY], ARGV, ENV) == ["its settings changed"]


def test_a_record_of_schema_1_still_compares_and_is_asked_where_it_was_started() -> None:
    """With the salt of then, so that its secrets are equal."""
    ray = make("r1", ("/v/bin/ray", "start", "--head", "--port", "7000"), ENV)
    argv = (*ARGV, "--port", "1234")
    found = read(schema_1(ray=ray, vllm=make("r2", argv, ENV)))
    assert {u: r.run for u, r in found.items()} == {OLD_RAY: "r1", SERVE: "r2"}
    assert changes(found[SERVE], argv, ENV) == []
    assert changes(found[SERVE], argv, {**ENV, "HF_TOKEN": "other"}) == ["HF_TOKEN changed"]
    units = [found[name].unit for name in (OLD_RAY, SERVE)]
    assert [unit and unit.title for unit in units] == ["Ray head", "vLLM"]
    head, serve = units
    assert head is not None
    assert serve is not None
    assert head.stop.last == ("gcs_server",)
    assert "http://127.0.0.1:1234" in str(serve.ready)
    assert {r.phase for r in found.values()} == {"ready"}


def test_what_runs_since_an_older_sparkctl_is_in_a_newer_file_until_it_starts_again() -> None:
    """node/state.py moves it to `older`."""
    unit = json.loads(schema_1(ray=make("r1", ("ray", "start"), ENV)))["units"]["ray"]
    found = read(applied({SERVE: entry(desired(), SERVE)}, older={"ray": unit}))
    assert {*found} == {OLD_RAY, SERVE}
    assert changes(found[OLD_RAY], ("ray", "start"), ENV) == []
    digests = {"ray": {"run": "r1", "digest": digest(ARGV, ENV)}}
    assert changes(read(applied({}, older=digests))[OLD_RAY], ARGV, ENV) == []


@pytest.mark.parametrize("written", [None, "", "{}"])
def test_without_anything_written_there_is_no_record(written: str | None) -> None:
    assert read(written) == {}


@pytest.mark.parametrize(
    "written",
    [
        "[",
        "[1]",
        '"x"',
        '{"units": 1}',
        '{"units": {"vllm": []}}',
        '{"schema": 2, "units": {}}',
        json.dumps({**json.loads(applied({})), "units": {SERVE: {}}}),
        json.dumps({**json.loads(applied({})), "units": {SERVE: []}}),
    ],
)
def test_what_cannot_be_understood_is_an_error_and_no_empty_record(written: str) -> None:
    """Whose cluster it is, is unknown then."""
    with pytest.raises(Missing) as caught:
        read(written)
    assert caught.value.code == "record-damaged"
    assert "sparkctl down" in (caught.value.hint or "")


def test_a_record_that_could_not_be_read_is_missing_and_not_empty() -> None:
    found = {"exists": True, "path": "/s", "temp_dir": False, "lease": None, "files": {}}
    for answer in ({}, {"state": found}):
        with pytest.raises(Missing):
            state(node_facts(answer), "vllm", "spark-1")
        with pytest.raises(Missing):
            records.records(node_facts(answer))


def test_a_newer_record_is_missing_and_not_misread() -> None:
    newer = json.dumps({"schema": SCHEMA + 1, "units": {}})
    with pytest.raises(Missing, match=f"unknown schema {SCHEMA + 1}") as caught:
        read(newer)
    assert caught.value.hint
    with_none = json.loads(schema_1(vllm=make("r1", ARGV, ENV)))
    del with_none["schema"]
    assert read(json.dumps(with_none))[SERVE].run == "r1"


def test_secrets_are_in_no_record_and_no_unit() -> None:
    secret = "Pw-Of-Theirs"
    given = f"  arguments: {{api-key: {secret}1, otlp-traces-endpoint: 'http://b:{secret}2@h'}}\n"
    made = desired(parse((GOOD + given).encode(), "x"))
    for name in made.units:
        assert secret not in json.dumps(entry(made, name))


def older_nodes(unit: dict[str, Any]) -> dict[str, Any]:
    """Nodes whose Ray and vLLM run since an older sparkctl, which recorded them like this."""
    known = running(desired(), nodes())
    for name, found in known.items():
        for process in found["ours"]:
            process["unit"] = ""
        roles = {p["role"] for p in found["ours"]}
        old = {role: unit[f"vllm/0/{role}/{name}"] for role in roles}
        text = json.dumps({"schema": 1, "units": old})
        found["state"]["files"]["applied.json"] = text
    return known


def by_digest() -> dict[str, Any]:
    made = desired()
    return {
        name: {"run": "r1", "digest": digest(unit.program.argv, made.values(unit.node))}
        for name, unit in made.units.items()
    }


def by_settings() -> dict[str, Any]:
    made = desired()
    return {
        name: {"run": "r1", **made.records[name].document(), "digest": ""} for name in made.units
    }


@pytest.mark.parametrize("older", [by_digest, by_settings])
def test_a_start_that_follows_an_older_one_is_recorded_with_all_that_it_was_made_with(
    older: Any,
) -> None:
    """Else the `up` after it would find other settings, and restart a model that is served."""
    made = desired(CLUSTER, older_nodes(older()))
    for name in (HEAD, SERVE):
        unit = made.units[name]
        written = read(applied({name: {**entry(made, name), "run": "r2"}}))[name]
        assert changes(written, unit.program.argv, made.values(unit.node)) == []

"""What was started, as it is recorded on a node, and what the next `up` says is different."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.facts.unread import Missing
from sparkctl.plan.record import SCHEMA, digest, make, records, text
from tests.unit.answers import node_facts

if TYPE_CHECKING:
    from sparkctl.facts.node import NodeFacts

ARGV = ("/v/bin/vllm", "serve", "m", "--max-num-seqs", "64", "--trust-remote-code")
ENV = {"NCCL_IB_HCA": "a,b", "HF_TOKEN": "hf_planted_secret_1"}


def facts(written: str | None) -> NodeFacts:
    state = {"exists": True, "path": "/s", "temp_dir": False, "lease": None}
    return node_facts({"state": {**state, "files": {"applied.json": written}}})


def test_it_comes_back_and_holds_no_secret() -> None:
    written = text({"vllm": make("r1", ARGV, ENV)})
    assert json.loads(written)["schema"] == SCHEMA
    assert "planted" not in written
    record = records(facts(written))["vllm"]
    assert (record.run, record.argv) == ("r1", ARGV)
    assert record.changes(ARGV, ENV) == []


def test_a_secret_is_hashed_with_a_salt_of_its_own() -> None:
    first, second = make("r", ARGV, ENV), make("r", ARGV, ENV)
    assert first.environment != second.environment


@pytest.mark.parametrize(
    ("argv", "env", "said"),
    [
        (("--max-num-seqs", "8", "--trust-remote-code"), {}, ["--max-num-seqs: 64 -> 8"]),
        (("--max-num-seqs", "64"), {}, ["--trust-remote-code removed"]),
        ((*ARGV[3:], "--x", "1 2"), {}, ["--x added: 1 2"]),
        (ARGV[3:], {"NCCL_IB_HCA": "a"}, ["NCCL_IB_HCA: a,b -> a"]),
        (ARGV[3:], {"HF_TOKEN": "hf_planted_secret_2"}, ["HF_TOKEN changed"]),
        (ARGV[3:], {"MY_TOKEN": "planted"}, ["MY_TOKEN added: ****"]),
    ],
)
def test_what_changed_is_named_and_no_secret_shown(
    argv: tuple[str, ...], env: dict[str, str], said: list[str]
) -> None:
    record = make("r", ARGV, ENV)
    assert record.changes((*ARGV[:3], *argv), {**ENV, **env}) == said


def test_another_model_is_named() -> None:
    (said,) = make("r", ARGV, ENV).changes(("/v/bin/vllm", "serve", "n", *ARGV[3:]), ENV)
    assert said == "program: /v/bin/vllm serve m -> /v/bin/vllm serve n"


def test_an_older_sparkctls_digests_still_compare() -> None:
    older = {"ray": "x", "ray_run": "r1", "vllm": digest(ARGV, ENV), "vllm_run": "r2"}
    found = records(facts(json.dumps(older)))
    assert {unit: record.run for unit, record in found.items()} == {"ray": "r1", "vllm": "r2"}
    assert found["vllm"].changes(ARGV, ENV) == []
    assert found["ray"].changes(ARGV, ENV) == ["its settings changed"]


@pytest.mark.parametrize(
    "written", [None, "", "[", "[1]", "{}", '"x"', '{"units": 1}', '{"units": {"vllm": []}}']
)
def test_what_cannot_be_understood_is_no_record(written: str | None) -> None:
    assert records(facts(written)) == {}


def test_a_record_that_could_not_be_read_is_missing_and_not_empty() -> None:
    state = {"exists": True, "path": "/s", "temp_dir": False, "lease": None, "files": {}}
    for answer in ({}, {"state": state}):
        with pytest.raises(Missing):
            records(node_facts(answer))


def test_a_newer_record_is_missing_and_not_misread() -> None:
    newer = json.dumps({"schema": SCHEMA + 1, "units": {}})
    with pytest.raises(Missing, match="unknown schema 2"):
        records(facts(newer))
    with_none = json.dumps({"units": json.loads(text({"vllm": make("r1", ARGV, ENV)}))["units"]})
    assert records(facts(with_none))["vllm"].run == "r1"

"""What a node gives for a support bundle: each log's begin and end, and the journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import CommandError
from sparkctl.facts.calls import SUPPORT
from sparkctl.facts.supportanswers import LogExcerpt
from sparkctl.node import entries, files, logs, support
from sparkctl.operations.support.excerpt import unpacked
from tests.unit.answers import decoded

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "vllm/0/ray/spark-1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def answered(*units: str) -> Any:
    answer = json.loads(json.dumps(support.read({"cluster": "c", "units": units})))
    return decoded(SUPPORT, answer)


def test_a_short_log_is_whole_and_of_a_long_one_there_are_begin_and_end() -> None:
    path = logs.new("c", "r1", UNIT, {"r1"})
    path.with_suffix(".begin.log").write_text("first\n")
    path.write_text("last\n")
    (log,) = answered(UNIT, "vllm/0/vllm/spark-1").logs
    assert (log.unit, log.path) == (UNIT, str(path))
    assert unpacked(log, "n").begin == "first\nlast\n"

    path.write_text("".join(f"{number:09}\n" for number in range(200_000)))
    (log,) = answered(UNIT).logs
    found = unpacked(log, "n")
    assert found.begin.startswith("first\n000000000\n")
    assert found.end.endswith("\n000199999\n")
    assert all(len(line) in (5, 9) for line in (found.begin + found.end).splitlines())
    assert len(found.begin) + len(found.end) + found.left_out == log.size == 2_000_006


def test_what_cannot_be_read_hides_nothing_else(home: Path) -> None:
    path = logs.new("c", "r1", UNIT, {"r1"})
    path.write_text("x\n")
    journal = home / ".sparkctl/c/journal.json"
    journal.write_text("{")
    found = answered(UNIT)
    assert [*found.errors] == ["journal.json"]
    assert len(found.logs) == 1
    journal.unlink()
    with entries.recorded(entries.of("c", root=False), "fix", "file", {}, "a change", keep=True):
        pass
    found = answered(UNIT)
    assert [entry.title for entry in found.entries] == ["a change"]
    assert not found.root
    assert files.home("c").is_dir()


@pytest.mark.parametrize("begin", ["eJ", "AAAA", support._packed(b"\0" * 2 * 2**20)])
def test_a_hostile_answer_is_the_nodes_error(begin: str) -> None:
    log = LogExcerpt(unit=UNIT, path="/x", size=5, begin=begin, end="")
    with pytest.raises(CommandError, match="the answer is malformed"):
        unpacked(log, "n")

"""A log that is followed from a position goes on there, whatever became of it meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sparkctl.facts.calls import FOLLOW
from sparkctl.facts.decode import decode
from sparkctl.node import files, follow, logs, logtimes

if TYPE_CHECKING:
    from pathlib import Path


Read = Callable[..., tuple[str, Any]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Read:
    """What a request gives: the whole text, and the position after its last piece."""

    def read(**request: Any) -> tuple[str, Any]:
        asked: Any = {"follow": False, **request}
        follow.follow(asked)
        found = [
            decode(FOLLOW, line.encode(), "n", "log")
            for line in capsys.readouterr().out.split("\n")
            if line
        ]
        at = found[-1].at if found else None
        return "".join(event.text or "" for event in found), at and at.model_dump()

    return read


def test_a_log_that_grew_goes_on(home: Path, read: Read) -> None:
    log = home / "x.log"
    log.write_text("one\n")
    text, at = read(path=str(log), offset=0)
    assert (text, at["path"], at["offset"]) == ("one\n", str(log), 4)
    assert read(path=str(log), at=at) == ("", None)
    log.write_text("one\ntwo\n")
    assert read(path=str(log), at=at)[0] == "two\n"


def test_a_character_that_is_cut_comes_whole(home: Path, read: Read) -> None:
    log = home / "x.log"
    whole = "a \N{GREEK SMALL LETTER MU}".encode()
    log.write_bytes(whole[:-1])
    text, at = read(path=str(log), offset=0)
    assert (text, at["offset"]) == ("a ", 2)
    log.write_bytes(whole)
    assert read(path=str(log), at=at)[0] == "\N{GREEK SMALL LETTER MU}"


@pytest.mark.parametrize("after", ["", "three\n", "three, which is longer than all before\n"])
def test_a_log_that_was_emptied_goes_on_in_the_part_that_was_set_aside(
    home: Path, read: Read, after: str
) -> None:
    """Emptying keeps the inode, and the log may have outgrown the position again."""
    log = home / "x.log"
    log.write_text("one\n")
    _, at = read(path=str(log), offset=0)
    log.with_suffix(".begin.log").write_text("one\ntwo\n")
    log.write_text(after)
    assert read(path=str(log), at=at)[0] == f"two\n{after}"
    log.with_suffix(".before.log").write_text(f"{after}four\n")
    log.write_text("five\n")
    assert read(path=str(log), at=at)[0] == f"two\n{after}four\nfive\n"


def test_a_position_within_a_part_goes_on_there(home: Path, read: Read) -> None:
    """As of a follow of `all` that was lost while it read the parts."""
    log = home / "x.log"
    log.with_suffix(".begin.log").write_text("one\n")
    log.write_text("")
    text, at = read(path=str(log), all=True)
    assert text == "one\n"
    log.with_suffix(".begin.log").write_text("one\ntwo\n")
    log.write_text("three\n")
    assert read(path=str(log), at=at)[0] == "two\nthree\n"


def test_a_log_that_was_replaced_is_read_from_its_begin(home: Path, read: Read) -> None:
    log = home / "x.log"
    log.write_text("one\n")
    _, at = read(path=str(log), offset=0)
    log.write_text("another one\n")
    assert read(path=str(log), at=at)[0] == "another one\n"
    log.unlink()
    assert read(path=str(log), at=at)[0] == ""


def test_the_end_of_a_units_log_comes_before_its_next_one(home: Path, read: Read) -> None:
    first = logs.new("c", "r1", "vllm", ())
    first.write_text("one\n")
    _, at = read(cluster="c", unit="vllm", lines=10)
    first.write_text("one\ntwo\n")
    logs.new("c", "r2", "vllm", ()).write_text("three\n")
    files.write({"cluster": "c", "files": {logs.RECORD: '{"units": {"vllm": {"run": "r2"}}}'}})
    text, at = read(cluster="c", unit="vllm", at=at)
    assert text == "two\nthree\n"
    assert at["path"] == str(home / ".sparkctl/c/logs/r2/vllm.log")


def test_a_position_is_data_of_a_stranger() -> None:
    position = {"path": "/x", "offset": 1, "begins": "1:ff"}
    answer = json.dumps({"text": "a", "at": position}).encode()
    assert decode(FOLLOW, answer, "n", "log").at is not None
    for wrong in ({"path": "/a\n"}, {"offset": -1}, {"begins": "x"}, {"begins": "1:" + "f" * 9}):
        with pytest.raises(Exception, match="malformed"):
            decode(FOLLOW, json.dumps({"at": position | wrong}).encode(), "n", "log")


def marked(log: Path, marks: str) -> None:
    log.with_suffix(".times").write_text(marks)


def test_lines_since_a_time_begin_at_the_last_mark_before_it(home: Path, read: Read) -> None:
    log, now = home / "x.log", 10_000.0
    begin, before = log.with_suffix(".begin.log"), log.with_suffix(".before.log")
    begin.write_text("one\ntwo\n")
    before.write_text("three\n")  # without marks, as of a full disk
    log.write_text("four\nfive\nsix\n")
    marked(begin, "\n9000 0\n9010 4")
    marked(log, "\n9100 3\n9110 10\n9120 12")

    def since(when: float, **more: Any) -> str:
        with mock.patch("time.time", return_value=now):
            text, at = read(path=str(log), since=now - when, **more)
        assert read(path=str(log), at=at) == ("", None)
        return text

    whole = "one\ntwo\nthree\nfour\nfive\nsix\n"
    assert since(8999) == since(9005) == whole
    assert since(9010) == since(9099) == whole[4:]
    assert since(9100) == "four\nfive\nsix\n", "the mark is within a line"
    assert since(9115) == since(9130) == "six\n"
    assert since(9010, lines=2) == "five\nsix\n"
    assert since(9130, lines=2) == "six\n"


def test_a_log_without_marks_is_shown_whole_and_said_to_be(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of an older sparkctl's start."""
    log = home / "x.log"
    request: Any = {"path": str(log), "since": 60.0, "follow": False}
    follow.follow(request)
    assert capsys.readouterr().out == "", "there is no log"
    log.write_text("one\n")
    follow.follow(request)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["untimed"], second["text"]) == (True, "one\n")


@pytest.mark.parametrize(
    "marks",
    [
        "\n100 0\n200 4\n150 8\n300 12",  # a clock that was set back
        "\n100 0\n200 4\nx\n\n300\n300 1x\n" + "9" * 99 + " 1\n300 12",
        "\n100 0\n200 4\n300 12",
    ],
)
def test_no_mark_loses_a_line(home: Path, marks: str) -> None:
    log = home / "x.log"
    log.write_text("any")
    assert logtimes.begin([log], 199) is None
    marked(log, marks)
    assert [logtimes.begin([log], when) for when in (99, 199)] == [(0, 0)] * 2
    assert logtimes.begin([log], 299) in ((0, 4), (0, 8))
    assert logtimes.begin([log], 300) == (0, 12)


def test_a_log_that_is_emptied_before_its_first_line_is_read_goes_on_in_its_part(
    home: Path, read: Read
) -> None:
    log = home / "x.log"
    log.write_text("one\n")
    _, at = read(path=str(log), lines=0)
    log.with_suffix(".begin.log").write_text("one\ntwo\n")
    log.write_text("three, which is longer\n")
    assert read(path=str(log), at=at)[0] == "two\nthree, which is longer\n"


def test_a_silent_log_has_empty_events(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else sshd would not notice for hours that the controller has vanished."""
    monkeypatch.setattr(follow, "ALIVE", 0.0)
    looks = iter([False, False, True])
    monkeypatch.setattr(follow, "_hung_up", lambda: next(looks))
    assert follow.follow({"path": str(home / "x.log"), "offset": 0}) == {}
    assert capsys.readouterr().out == "{}\n" * 3


def test_marks_that_are_no_files_harm_nothing(home: Path, read: Read) -> None:
    log = home / "x.log"
    log.write_text("one\n")
    marked(log, "1 " + "9" * 23)
    assert read(path=str(log), since=60.0)[0] == "one\n"
    log.with_suffix(".times").unlink()
    os.mkfifo(log.with_suffix(".times"))
    assert read(path=str(log), since=60.0)[0] == "one\n"

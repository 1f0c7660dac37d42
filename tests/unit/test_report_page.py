"""The file of a report, and what is left out of its page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.doctor.finding import ok
from sparkctl.doctor.masking import masking
from sparkctl.errors import ConnectError, RemoteError, UsageError
from sparkctl.output.report.page import hosts, page, people
from sparkctl.output.report.pagefile import UNMARKED, check_target, write_page
from sparkctl.output.report.withheld import unmaskable, withhold
from tests.unit.answers import listener
from tests.unit.doctorview import INVENTORY, examined, healthy

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

TWO = "spark-2"


def written(answers: Answers) -> str:
    snapshot = answers.snapshot()
    return page(snapshot, examined(snapshot), masking(people(snapshot), hosts(snapshot)))


def refused(path: Path) -> object:
    """Which problem keeps the file from being written."""
    with pytest.raises(UsageError) as caught:
        check_target(path)
    assert caught.value.code == "report-refused"
    assert caught.value.data["path"] == str(path)
    return caught.value.data["problem"]


def test_a_page_replaces_a_page_alone(tmp_path: Path) -> None:
    path, text = tmp_path / "x.html", written(healthy())
    check_target(path)
    write_page(path, text)
    assert path.stat().st_mode & 0o777 == 0o600
    write_page(path, text + "2")
    path.write_text(UNMARKED + "lab</title>")  # as pages were before they had a mark
    write_page(path, text)
    assert path.read_text() == text
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("content", [INVENTORY, "", "<!doctype html><html>", "\0" * 5000])
def test_another_file_is_refused_before_and_at_the_write(content: str, tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(content)
    assert refused(path) == "not-a-report"
    with pytest.raises(UsageError):
        write_page(path, written(healthy()))
    assert path.read_text() == content
    assert [*tmp_path.iterdir()] == [path]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    pipe, link, loop = tmp_path / "pipe", tmp_path / "link", tmp_path / "loop"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "nothing")
    loop.symlink_to(loop)
    assert refused(tmp_path) == "not-a-file"
    assert refused(pipe) == "not-a-file"
    assert refused(Path("/dev/null")) == "not-a-file"
    assert refused(link) == "dangling-link"
    assert refused(loop) == "unreadable"
    assert refused(tmp_path / "none" / "x.html") == "no-directory"
    assert refused(pipe / "x.html") == "unreadable"


def test_a_link_leads_to_what_is_replaced(tmp_path: Path) -> None:
    page, other, link = tmp_path / "a.html", tmp_path / "b.yaml", tmp_path / "link"
    text = written(healthy())
    write_page(page, text)
    link.symlink_to(page)
    write_page(link, text + "2")
    assert link.is_symlink()
    assert page.read_text() == text + "2"
    other.write_text(INVENTORY)
    link.unlink()
    link.symlink_to(other)
    assert refused(link) == "not-a-report"


def with_owner(unread: bool) -> Answers:
    """A pair where bob's process has a port of the second node."""
    answers = healthy()
    facts = answers.facts[TWO]
    command = "/data/bob/serve --name bobs-model --as bob"
    taken = (6379, 8265, 30000, 10002)
    facts["ports"] = [listener(port, pid=7, command=command) for port in taken]
    facts["people"] = ["bob"]
    answers.inventory = answers.inventory.model_copy(
        update={"ray": answers.inventory.ray.model_copy(update={"node_manager_port": 6379})}
    )
    if unread:
        del facts["people"]
        facts["unread"] = {"people": {"reason": "a directory hangs", "kind": "timeout"}}
    return answers


def test_where_accounts_were_not_read_the_texts_of_that_node_are_withheld() -> None:
    shown = written(with_owner(unread=False))
    assert "is taken by pid 7 of user" in shown
    shown = written(with_owner(unread=True))
    assert "bob" not in shown
    assert "(withheld: the accounts of spark-2 could not be read)" in shown
    assert "spark-2: accounts could not be read" in shown
    assert "SSH login on 10.77.0.11" in shown, "the other node's own texts stay"


@pytest.mark.parametrize("people", [5, [1]])
def test_accounts_of_another_form_are_not_read(people: object) -> None:
    answers = with_owner(unread=False)
    answers.facts[TWO]["people"] = people
    assert "bob" not in written(answers)


def test_what_a_node_printed_instead_of_facts_is_left_out_and_why_it_was_not_reached_stays() -> (
    None
):
    unreadable = healthy()
    del unreadable.facts[TWO]
    unreadable.unreadable = {TWO: RemoteError("it printed 'welcome, bob'", node=TWO)}
    left_out = unmaskable(unreadable.snapshot())
    assert left_out == [TWO]
    found = withhold(examined(unreadable, "reach.facts"), left_out)
    assert not any("bob" in f"{f.summary}{f.evidence}{f.fix}" for f in found)
    away = healthy()
    del away.facts[TWO]
    away.errors = {TWO: ConnectError("no route to host", node=TWO)}
    assert "no route to host" in written(away)


def test_pairs_and_cluster_are_withheld_with_a_node() -> None:
    found = [
        ok("a").of("x", "node", "n"),
        ok("b").of("x", "node", "m"),
        ok("c").of("x", "pair", "n", "m"),
        ok("d").of("x", "cluster"),
    ]
    shown = [f.summary for f in withhold(found, ["n"])]
    assert [text for text in shown if not text.startswith("(withheld: ")] == ["b"]
    assert withhold(found, []) == found


def test_two_nodes_behind_one_gateway_are_masked_under_both_names() -> None:
    nodes = INVENTORY.replace("10.77.0.11", "gate.example.org, ssh: {port: 2201}")
    answers = healthy(nodes.replace("10.77.0.12", "gate.example.org, ssh: {port: 2202}"))
    masked = masking([], hosts(answers.snapshot())).mask("ssh to gate.example.org")
    assert masked == "ssh to host-of-spark-1-and-spark-2"

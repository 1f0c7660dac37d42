"""The file of a report, and what is left out of its page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkctl.doctor.finding import info
from sparkctl.doctor.masking import masking
from sparkctl.doctor.snapshot import View
from sparkctl.errors import ConnectError, RemoteError, UsageError
from sparkctl.output.html import hosts, page, people
from sparkctl.output.pagefile import UNMARKED, check_target, write_page
from sparkctl.output.withheld import note, unmaskable, withhold
from tests.unit.doctorview import INVENTORY, examined, healthy

TWO = "spark-2"


def written(view: View) -> str:
    left_out = unmaskable(view)
    hidden = masking(people(view), hosts(view))
    return page(view.inventory, withhold(examined(view), left_out), hidden, [*map(note, left_out)])


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


def with_owner(unread: bool) -> View:
    """A pair where bob's process has a port of the second node."""
    view = healthy()
    facts = view.facts(TWO)
    command = "/data/bob/serve --name bobs-model --as bob"
    facts["ports"] = [{"port": port, "pid": 7, "uid": 1000, "user": "bob", "command": command,
                       "cluster": ""} for port in (6379, 8265, 30000, 10002)]  # fmt: skip
    facts["people"] = ["bob"]
    two = view.nodes[1]
    view.inventory = view.inventory.model_copy(
        update={"ray": view.inventory.ray.model_copy(update={"node_manager_port": 6379})}
    )
    assert two.name == TWO
    if unread:
        del facts["people"]
        facts["unread"] = {"people": "TimeoutError: a directory service hangs"}
    return view


def test_where_accounts_were_not_read_the_texts_of_that_node_are_withheld() -> None:
    told = written(with_owner(unread=False))
    assert "is taken by pid 7 of user" in told
    told = written(with_owner(unread=True))
    assert "bob" not in told
    assert "(withheld: the accounts of spark-2 could not be read)" in told
    assert "spark-2: accounts could not be read" in told
    assert "10.77.0.11 answers in" in told, "what the other node alone says stays"


@pytest.mark.parametrize("facts", [{}, {"people": 5}, {"user": "bob", "people": [1]}])
def test_facts_of_any_form_make_a_page(facts: dict[str, object]) -> None:
    view = healthy()
    broken = View(inventory=view.inventory, nodes=view.nodes, layers=[],
                  all_facts={**view.all_facts, TWO: facts})  # fmt: skip
    assert "bob" not in written(broken)


def test_what_a_node_printed_instead_of_facts_is_left_out_and_why_it_was_not_reached_stays() -> (
    None
):
    view = healthy()
    alone = {"spark-1": view.all_facts["spark-1"]}
    said = RemoteError("it printed 'welcome, bob'", node=TWO)
    unreadable = View(inventory=view.inventory, nodes=view.nodes, layers=[], all_facts=alone,
                      unreadable={TWO: said})  # fmt: skip
    assert unmaskable(unreadable) == [TWO]
    found = withhold(examined(unreadable, "reach.facts"), unmaskable(unreadable))
    assert not any("bob" in f"{f.summary}{f.evidence}{f.fix}" for f in found)
    away = View(inventory=view.inventory, nodes=view.nodes, layers=[], all_facts=alone,
                errors={TWO: ConnectError("no route to host", node=TWO)})  # fmt: skip
    assert "cannot be reached: no route to host" in written(away)


def test_pairs_and_cluster_are_withheld_with_a_node() -> None:
    found = [
        info("a").of("x", "node", "n"),
        info("b").of("x", "node", "m"),
        info("c").of("x", "pair", "n", "m"),
        info("d").of("x", "cluster"),
    ]
    shown = [f.summary for f in withhold(found, ["n"])]
    assert [text for text in shown if not text.startswith("(withheld: ")] == ["b"]
    assert withhold(found, []) == found


def test_two_nodes_behind_one_gateway_are_masked_under_both_names() -> None:
    nodes = INVENTORY.replace("10.77.0.11", "gate.example.org, ssh: {port: 2201}")
    view = healthy(nodes.replace("10.77.0.12", "gate.example.org, ssh: {port: 2202}"))
    told = masking([], hosts(view)).mask("ssh to gate.example.org")
    assert told == "ssh to host-of-spark-1-and-spark-2"

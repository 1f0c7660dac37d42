"""Choosing and running checks, what `--fix` would do, and what a report hides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sparkctl.cluster.session import Session
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.finding import Finding, Severity, ok
from sparkctl.doctor.fix import Planned, apply, plan
from sparkctl.doctor.masking import masking
from sparkctl.doctor.preflight import refuse
from sparkctl.doctor.remedy import Action, Removal
from sparkctl.doctor.runner import choose_checks, counts, evaluate, failed, sources
from sparkctl.doctor.view import View
from sparkctl.errors import PreflightError, SparkctlError, UsageError
from sparkctl.report.doctor import print_findings, summary
from sparkctl.report.html import page
from tests.unit.doctorview import examined, healthy


def test_checks_are_chosen_by_id_or_family_in_declared_order() -> None:
    ids = [c.id for c in choose_checks(["fabric", "reach.ssh"], ["fabric.ping"])]
    assert ids[0] == "reach.ssh"
    assert "fabric.hca" in ids
    assert "fabric.ping" not in ids
    assert not any(i.startswith("host") for i in ids)
    with pytest.raises(UsageError, match="no check is called fabrik"):
        choose_checks(skip=["fabrik"])


def test_only_what_the_chosen_checks_need_is_gathered() -> None:
    assert sources(choose_checks(["fabric.hca"])) == set()
    assert sources(choose_checks(["fabric.ping"])) == {Source.PEERS}


def broken(_view: View, _name: str) -> Iterator[Finding]:
    yield ok("so far")
    raise KeyError("speed")


def test_a_check_with_a_bug_is_a_finding_and_hides_no_other() -> None:
    found = evaluate(healthy(), [Check("x.broken", "node", broken), *choose_checks(["reach.ssh"])])
    assert [f.severity for f in found if f.check == "x.broken"] == [
        Severity.OK, Severity.CRASH, Severity.OK, Severity.CRASH,
    ]  # fmt: skip
    assert "KeyError: 'speed'" in found[1].summary
    assert counts(found)["CRASH"] == 2
    assert counts(found)["OK"] == 4


def faulty() -> View:
    """MTU, a half down, leftovers and low memory on the second node."""
    view = healthy()
    facts = view.facts("spark-2")
    facts["net"]["enp1s0f0np0"]["mtu"] = 1500
    facts["net"]["enP2p1s0f0np0"]["up"] = False
    facts["ib"]["roceP2p1s0f0"]["ports"]["1"]["state"] = "DOWN"
    facts["memory"]["MemAvailable"] = 2**30
    facts["state"]["exists"] = True
    stray = {"pid": 9, "role": "vllm", "command": "python", "run": "old", "cluster": "lab"}
    facts["ours"] = [{**stray, "environment": None, "libraries": {}}]
    facts["foreign_rays"] = [{"pid": 4, "uid": 1, "command": "x/raylet", "cluster": ""}]
    return view


def test_fix_takes_what_is_safe_once_and_nothing_else() -> None:
    planned = plan(examined(faulty()))
    assert {p.node for p in planned} == {"spark-2"}
    assert [p.action.command for p in planned] == [
        "sudo ip link set enP2p1s0f0np0 up",
        "sudo ip link set enp1s0f0np0 mtu 9000",
        "sparkctl down",  # the process of an older run
        "sparkctl down",  # and its files
    ]
    assert plan(examined(healthy())) == []


def test_low_memory_with_nothing_running_drops_the_page_cache() -> None:
    view = healthy()
    view.facts("spark-2")["memory"]["MemAvailable"] = 2**30
    assert [p.action.command for p in plan(examined(view))] == ["sudo sysctl -w vm.drop_caches=3"]


def test_ending_a_leftover_names_its_run_and_never_all() -> None:
    removals = [p.action for p in plan(examined(faulty())) if isinstance(p.action, Removal)]
    assert [r.target for r in removals] == ["ending.stop", "ending.remove"]
    assert removals[0].request["run"] == "old"
    view = faulty()
    view.facts("spark-2")["ours"][0]["run"] = ""  # a mark without a run: whose it is is not known
    targets = [p.action.target for p in plan(examined(view)) if isinstance(p.action, Removal)]
    assert "ending.stop" not in targets


class FakePool:
    """Remembers what would be run, and fails on sudo."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.connections = {"n": self, "m": self}

    def run(self, command: Any) -> FakePool:
        self.ran.append(command.argv)
        return self

    def check(self) -> None:
        if self.ran[-1][0] == "sudo":
            raise SparkctlError("a password is required")


def test_each_change_is_tried_and_its_error_kept() -> None:
    pool = FakePool()
    # Neither the inventory's folder nor the connections of a real pool are looked at.
    session = Session(healthy().inventory, None, pool)  # type: ignore[arg-type]
    session.facts = {"n": {"uid": 0}, "m": {"uid": 1000}}
    action = Action("bring x up", ("ip", "link", "set", "x", "up"))
    done = apply(session, [Planned("m", action), Planned("n", action)])
    assert [error for _, error in done] == ["a password is required", None]
    assert pool.ran == [("sudo", "--non-interactive", *action.argv), action.argv]


def test_preflight_refuses_with_every_failure_and_its_remedy() -> None:
    refuse([])
    with pytest.raises(PreflightError) as caught:
        refuse(failed(examined(faulty())))
    assert caught.value.exit_code == 3
    for word in ("spark-2: fabric.mtu", "spark-2: fabric.halves", "bring enP2p1s0f0np0 up"):
        assert word in str(caught.value)
    assert "foreign" not in str(caught.value), "a warning stops nothing"


def test_a_terminal_sees_failures_first_and_what_passed_as_a_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    findings = examined(faulty())
    print_findings(findings, ["the GPU"])
    printed = capsys.readouterr().out
    assert printed.index("FAIL") < printed.index("WARN") < printed.index(" passed")
    assert "OK  " not in printed
    assert "sudo ip link set enP2p1s0f0np0 up" in printed
    assert "imitated: the GPU" in printed
    print_findings(findings, [], verbose=True)
    assert "OK  " in capsys.readouterr().out
    assert summary([]) == "nothing was found"


def test_what_is_unknown_for_one_reason_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = healthy()
    del view.facts("spark-2")["net"]
    print_findings(examined(view), [])
    unknown = [x for x in capsys.readouterr().out.splitlines() if x.startswith("UNKNOWN")]
    assert len(unknown) < 5
    assert "checks" in unknown[0]


def test_a_report_hides_secrets_people_and_places() -> None:
    hide = masking({"anna", "root"}, {"spark-1": "anna-desk.example.org", "spark-2": "8.8.4.4"})
    text = hide.mask(
        "anna on anna-desk.example.org (8.8.4.4, 192.168.100.11, 2001:4860:4860::8888, fe80::1)"
        " VLLM_API_KEY=abc NCCL_IB_HCA=x /home/anna/.ssh anna-x root"
    )
    assert text == (
        "user on host-of-spark-1 (****, 192.168.100.11, ****, fe80::1)"
        " VLLM_API_KEY=**** NCCL_IB_HCA=x /home/user/.ssh anna-x root"
    )


def test_the_page_is_whole_and_escaped() -> None:
    view = faulty()
    view.facts("spark-2")["foreign_rays"][0]["command"] = "<script>alert(1)</script>/raylet"
    html = page(view.inventory, examined(view), masking(set(), {}))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "http" not in html, "self-contained"
    assert html.index('class="FAIL"') < html.index('class="OK"')

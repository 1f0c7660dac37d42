"""Choosing and running checks, what `--fix` would do, and what a report hides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.finding import Finding, Severity, ok
from sparkctl.doctor.fix import Planned, apply, plan
from sparkctl.doctor.masking import masking
from sparkctl.doctor.preflight import refuse
from sparkctl.doctor.remedy import Action, Removal
from sparkctl.doctor.runner import choose_checks, counts, evaluate, failed, sources
from sparkctl.errors import PreflightError, SparkctlError, UsageError
from sparkctl.facts.calls import CHANGE, PROBE, REMOVE, STOP
from sparkctl.operations.session import Session
from sparkctl.output.doctor import print_findings, summary
from sparkctl.output.report.page import hosts, page, people
from sparkctl.secret.text import command_line, secretless
from tests.unit.answers import WHO, all_facts, decoded, listener, process
from tests.unit.doctorview import INVENTORY, examined, healthy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node
    from tests.unit.doctorview import Answers

T = TypeVar("T")


def test_checks_are_chosen_by_id_or_family_in_declared_order() -> None:
    ids = [c.id for c in choose_checks(["fabric", "reach.ssh"], ["fabric.ping"])]
    assert ids[0] == "reach.ssh"
    assert "fabric.hca" in ids
    assert "fabric.ping" not in ids
    assert not any(i.startswith("host") for i in ids)
    with pytest.raises(UsageError) as caught:
        choose_checks(skip=["fabrik"])
    assert (caught.value.code, caught.value.data) == ("unknown-check", {"check": "fabrik"})


def test_only_what_the_chosen_checks_need_is_collected() -> None:
    assert sources(choose_checks(["fabric.hca"])) == set()
    assert sources(choose_checks(["fabric.ping"])) == {Source.PEERS}


def broken(_view: Snapshot, _name: str) -> Iterator[Finding]:
    yield ok("so far")
    raise KeyError("speed")


def test_a_check_with_a_bug_is_a_finding_and_hides_no_other() -> None:
    checks = [Check("x.broken", "node", broken), *choose_checks(["reach.ssh"])]
    found = evaluate(healthy().snapshot(), checks)
    broken_ones = [f.severity for f in found if f.check == "x.broken"]
    assert broken_ones == [Severity.OK, Severity.CRASH] * 2
    assert found[1].code == "bug"
    assert "KeyError: 'speed'" in found[1].summary  # for the report of the bug
    assert counts(found)["CRASH"] == 2
    assert counts(found)["OK"] == 4


def faulty() -> Answers:
    """MTU, a half down, leftovers and low memory on the second node."""
    answers = healthy()
    facts = answers.facts["spark-2"]
    facts["net"]["enp1s0f0np0"]["mtu"] = 1500
    facts["net"]["enP2p1s0f0np0"]["up"] = False
    facts["ib"]["roceP2p1s0f0"]["ports"]["1"]["state"] = "DOWN"
    facts["memory"]["MemAvailable"] = 2**30
    facts["state"].update(exists=True, files={"applied.json": '{"ray_run": "last"}'})
    facts["ours"] = [process("vllm", "python", run="old")]
    facts["foreign_rays"] = [{"pid": 4, "uid": 1, "command": "x/raylet", "cluster": ""}]
    return answers


def test_fix_takes_what_is_safe_once_and_nothing_else() -> None:
    planned = plan(examined(faulty()))
    assert {p.node for p in planned} == {"spark-2"}
    assert [p.action.command for p in planned] == [
        "sudo ip link set enP2p1s0f0np0 up",
        "sudo ip link set enp1s0f0np0 mtu 9000",
        "sparkctl doctor --fix --check host.leftovers",  # the process of an older run
        "sparkctl doctor --fix --check host.leftovers",  # and its files
    ]
    assert plan(examined(healthy())) == []


def test_low_memory_with_nothing_running_drops_the_page_cache() -> None:
    answers = healthy()
    answers.facts["spark-2"]["memory"]["MemAvailable"] = 2**30
    commands = [p.action.command for p in plan(examined(answers))]
    assert commands == ["sudo sysctl -w vm.drop_caches=3"]


def test_ending_a_leftover_names_its_run_and_never_all() -> None:
    removals = [p.action for p in plan(examined(faulty())) if isinstance(p.action, Removal)]
    assert [r.call for r in removals] == [STOP, REMOVE]
    assert removals[0].request["run"] == "old"
    answers = faulty()
    answers.facts["spark-2"]["ours"][0]["run"] = ""  # a mark without a run: the owner is unknown
    calls = [p.action.call for p in plan(examined(answers)) if isinstance(p.action, Removal)]
    assert calls == [REMOVE]


def up(title: str, interface: str) -> Action:
    return Action(title, "link-state", {"interface": interface, "up": True})


def test_a_change_is_the_same_whatever_its_title_is() -> None:
    one, other = (Planned("spark-2", up(title, "x")) for title in ("a", "b"))
    assert one == other
    assert one != Planned("spark-2", up("a", "y"))


def test_each_change_is_tried_and_its_error_kept() -> None:
    ran: list[dict[str, Any]] = []

    # It takes the real one's options and needs none; there is no connection.
    class Changing(Session):
        def ask(  # type: ignore[override]  # as above
            self, node: Node, call: Call[T], request: dict[str, Any], *, root: bool, **_: Any
        ) -> T:
            assert (call, root) == (CHANGE, True)
            ran.append(request)
            if node.name == "spark-2":
                raise SparkctlError("a password is required")
            return decoded(call, {})

    session = Changing(healthy().inventory, None, None)  # type: ignore[arg-type]  # as above
    session.facts = all_facts({"spark-1": {"uid": 0}, "spark-2": {"uid": 1000}})
    action = up("bring x up", "x")
    done = apply(session, [Planned("spark-2", action), Planned("spark-1", action)])
    assert [error for _, error in done] == ["a password is required", None]
    do = {"name": "link-state", "data": {"interface": "x", "up": True}}
    assert ran == [{"owner": "fix", "do": do, "title": "bring x up"}] * 2


def test_the_facts_are_asked_for_with_what_the_plan_sets(tmp_path: Path) -> None:
    (tmp_path / "mine.env").write_text("NCCL_CONF_FILE=/opt/layer.conf\n")
    asked: list[dict[str, Any]] = []

    # It takes the real one's options and needs none; there is no connection.
    class Asking(Session):
        def ask(self, node: Node, call: Call[T], request: dict[str, Any], **_: Any) -> T:
            assert call == PROBE
            asked.append(request)
            return decoded(call, WHO)

    for text in (
        "env: {layers: [mine.env]}\nray: {min_worker_port: 21000, max_worker_port: 22000}\n",
        "env: {layers: [absent.env], set: {NCCL_CONF_FILE: /opt/set.conf}}\n",
        "",
    ):
        file = (
            INVENTORY.replace("{venv: /opt/vllm}", "{image: x, tool: podman}")
            if not text
            else INVENTORY
        )
        inventory = healthy(file + text).inventory
        session = Asking(inventory, tmp_path, None)  # type: ignore[arg-type]  # as above
        assert not session.probe(inventory.nodes[:1]).failed
    assert [r["conf_file"] for r in asked] == ["/opt/layer.conf", "/opt/set.conf", ""]
    assert [tuple(r["worker_ports"]) for r in asked] == [(21000, 22000), *[(10002, 19999)] * 2]
    assert [(r["image"], r["tools"]) for r in asked] == [*[("", [])] * 2, ("x", ["podman"])]


def test_preflight_refuses_with_every_failure_and_its_remedy() -> None:
    refuse([])
    with pytest.raises(PreflightError) as caught:
        refuse(failed(examined(faulty())))
    assert caught.value.exit_code == 3
    checks = str(caught.value.data["checks"])
    assert "fabric.mtu" in checks
    assert "fabric.halves" in checks
    assert "foreign-ray" not in checks, "a warning stops nothing"
    for part in ("fabric.mtu spark-2", "bring enP2p1s0f0np0 up"):  # where, and the remedy
        assert part in str(caught.value)


def test_a_terminal_sees_failures_first_and_what_passed_as_a_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    findings = examined(faulty())
    print_findings(findings, ["GPU, where one is: by a script"])
    printed = capsys.readouterr().out
    assert printed.index("FAIL") < printed.index("WARN") < printed.index(" passed")
    assert "OK  " not in printed
    assert "sudo ip link set enP2p1s0f0np0 up" in printed
    assert "imitated: GPU\n" in printed
    print_findings(findings, [], verbose=True)
    assert "OK  " in capsys.readouterr().out
    assert printed.rstrip().endswith("11 notes (-v shows them)")
    print_findings(findings, ["GPU: by a script"], verbose=True)
    printed = capsys.readouterr().out
    assert "imitated:\n    GPU: by a script\n" in printed
    (boxed,) = re.findall(r"INFO +.*does not run in a container.*", printed)
    assert "10 checks spark-1, spark-2: vLLM does not" in boxed
    assert "container.rdma" in boxed
    assert summary([]) == "no findings"
    one = Finding(Severity.WARN, "w")
    assert summary([one]) == "1 warning"
    assert summary([one, one]) == "2 warnings"


def test_what_is_unknown_for_one_reason_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    answers = healthy()
    del answers.facts["spark-2"]["net"]
    print_findings(examined(answers), [])
    unknown = [x for x in capsys.readouterr().out.splitlines() if x.startswith("UNKNOWN")]
    assert len(unknown) < 5
    assert "checks" in unknown[0]


def test_a_report_hides_secrets_people_and_places() -> None:
    hosts = {"spark-1": ["anna-desk.example.org", "spark-1"], "spark-2": ["8.8.4.4", "annas-box"]}
    hide = masking({"anna", "root"}, hosts)
    text = hide.mask(
        "anna on anna-desk.example.org (8.8.4.4, 192.168.100.11, 2001:4860:4860::8888, fe80::1)"
        " VLLM_API_KEY=abc NCCL_IB_HCA=x /home/anna/.ssh anna-x root spark-1 annas-box"
    )
    assert text == (
        "user on host-of-spark-1 (****, 192.168.100.11, ****, fe80::1)"
        " VLLM_API_KEY=**** NCCL_IB_HCA=x /home/user/.ssh user-x root spark-1 host-of-spark-2"
    )


SECRET = "s3cr3t-of-theirs"
COMMANDS = [
    f"vllm serve m --api-key {SECRET} --port 8000",
    f"vllm serve m --api-key first {SECRET} --port 8000",
    f"vllm serve m --hf-token={SECRET}",
    f"redis-server *:6379 --requirepass {SECRET}",
    f"raylet --redis-password={SECRET}",
    f"curl -H 'Authorization: Bearer {SECRET}' http://h",
    f"curl -H 'Authorization: Basic {SECRET}' http://h",
    f"curl https://me:{SECRET}@example.org/x",
    f"env VLLM_API_KEY='a {SECRET} c' vllm",
    f'env HF_TOKEN="{SECRET} c" vllm',
    f'serve {{"api_key": "{SECRET}"}}',
    f"serve hf_{SECRET.replace('-', '')}",
    f"serve sk-proj-{SECRET}",
    f"serve nvapi-{SECRET}",
]
NO_SECRETS = [
    "vllm serve m --max-num-batched-tokens 8192 --tokenizer /models/m2 --port 8000",
    "python3 -c import hf_transfer --kv-transfer-config {}",
    "raylet --redis-password= --temp-dir=/tmp/ray",
    "sudo ip link set enp1s0f0np0 mtu 9000",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_secret_of_a_command_line_is_shown(command: str) -> None:
    assert not any(part in secretless(command) for part in (SECRET, SECRET.replace("-", "")))
    assert secretless(command).startswith(command.partition(" ")[0])


def test_a_command_line_is_shown_on_one_line_and_cannot_write_to_the_terminal() -> None:
    command = f"python3 -c import\nos\x1b[2J --token {SECRET} " + "x" * 99
    assert command_line(command, 44) == "python3 -c import os?[2J --token **** xxxxxx"


@pytest.mark.parametrize("command", NO_SECRETS)
def test_what_is_no_secret_stays(command: str) -> None:
    assert secretless(command) == command
    assert masking([], {}).mask(command) == command


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sudo -u bob /Users/bob/x", "sudo -u user /Users/user/x"),
        ("curl --user bob:pw x", "curl --user user:**** x"),
        ("ssh bob@10.0.0.1", "ssh user@10.0.0.1"),
        ("USER=bob LOGNAME=root", "USER=user LOGNAME=root"),
        ("python -u train.py", "python -u train.py"),
        ("sudo -u root ssh root@spark-1", "sudo -u root ssh root@spark-1"),
    ],
)
def test_users_are_masked_where_the_form_alone_shows_them(text: str, masked: str) -> None:
    assert masking([], {}).mask(text) == masked


def test_neither_the_page_nor_a_finding_has_a_foreign_process_secret() -> None:
    answers = healthy()
    command = f"/opt/x/raylet --api-key {SECRET} --home /home/bob HF_TOKEN={SECRET}"
    facts = answers.facts["spark-1"]
    facts["people"] = ["bob"]
    facts["gpu"]["gpu_processes"] = [{"pid": 4, "name": command}]
    facts["settings"]["conf"] = [{"path": "/etc/nccl.conf", "values": {"HF_TOKEN": SECRET}}]
    facts["foreign_rays"] = [{"pid": 4, "uid": 1001, "command": command, "cluster": "bob"}]
    facts["ports"] = [listener(6379, pid=4, command=command)]
    facts["ours"] = [process("vllm", command, run="old")]
    snapshot = answers.snapshot()
    found = examined(snapshot)
    with_commands = ("ports.free", "host.foreign-ray", "host.leftovers", "host.gpu")
    shown = [f for f in found if f.check in with_commands and f.node == "spark-1"]
    assert len([f for f in shown if "raylet" in str(f.document())]) == 4
    assert not any(SECRET in str(f.document()) for f in found)
    html = page(snapshot, found, masking(people(snapshot), hosts(snapshot)))
    assert "raylet" in html
    assert SECRET not in html
    assert not re.search(r"\bbob\b", html)

"""Commands of remedies, as they are pasted into a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.fix import plan
from sparkctl.doctor.remedy import Action, Remedy
from sparkctl.doctor.runner import pasteable
from tests.unit.answers import process
from tests.unit.doctorview import INVENTORY, examined, healthy

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

TWO = "spark-2"
ODD = "/models/Mini Max; M2 'x' $(y)"


def of(answers: Answers, check: str, node: str = TWO) -> list[Finding]:
    """A check's findings on a node that have a remedy."""
    return [f for f in examined(answers, check) if f.node == node and f.fix]


def words(answers: Answers, check: str) -> list[list[str]]:
    """The words that a shell makes of the check's commands."""
    return [shlex.split(c) for f in of(answers, check) if f.fix for c in f.fix.to_paste]


def test_a_path_of_the_inventory_is_one_word_of_each_command() -> None:
    answers = healthy()
    facts = answers.facts[TWO]
    shard = {"name": "m", "user": "root", "uid": 0, "mode": "0600"}
    facts["model"] |= {"path": ODD, "unreadable": [shard]}
    assert words(answers, "model.present") == [["sudo", "chown", "-R", "root", ODD]]
    facts["model"]["exists"] = False
    answers.facts["spark-1"]["model"]["path"] = ODD
    source = f"root@192.168.100.11:{ODD}/"
    assert words(answers, "model.present")[0][-2:] == [source, f"{ODD}/"]
    facts["disk"] = {"model": {"path": ODD, "free": 1, "total": 2}}
    assert words(answers, "host.disk")[0][:5] == ["sudo", "du", "-xh", "--max-depth=2", ODD]
    facts["runtime"] |= {"venv": ODD, "versions": {**facts["runtime"]["versions"], "ray": "1"}}
    assert words(answers, "runtime.versions")[0][:2] == [f"{ODD}/bin/pip", "install"]
    facts["runtime"]["python"] = "3.9.9"
    assert words(answers, "runtime.versions")[0] == ["sparkctl", "node", "install"]
    facts["runtime"]["exists"] = False
    (absent,) = words(answers, "runtime.present")
    assert absent == ["sparkctl", "node", "install", "--node", "spark-2"]
    facts["user"], facts["uid"] = "a b", 1000
    facts["system"] |= {"linger": False, "remove_ipc": True}
    assert ["sudo", "loginctl", "enable-linger", "a b"] in words(answers, "host.login")


def lacking(answers: Answers, *names: str) -> None:
    for name in names:
        answers.facts[name]["model"]["exists"] = False


@pytest.mark.parametrize(
    ("ssh", "rsh"), [("{}", []), ("{user: ops, port: 2222}", ["--rsh", "ssh -p 2222"])]
)
def test_a_checkpoint_comes_over_the_fabric_from_a_node_that_has_it_whole(
    ssh: str, rsh: list[str]
) -> None:
    answers = healthy(INVENTORY + f"ssh: {ssh}\n")
    answers.facts["spark-1"]["user"] = "ops"
    lacking(answers, TWO)
    (command,) = words(answers, "model.present")
    assert command[:1] == ["rsync"]
    assert "--copy-links" in command
    assert command[-2:] == ["ops@192.168.100.11:/models/m2/", "/models/m2/"]
    assert command[-2 - len(rsh) : -2] == rsh


def test_the_head_gets_a_checkpoint_from_a_worker() -> None:
    answers = healthy()
    lacking(answers, "spark-1")
    (found,) = of(answers, "model.present", "spark-1")
    assert found.fix
    assert "copy it from spark-2" in found.fix.text
    assert found.fix.to_paste[0].endswith("root@192.168.100.12:/models/m2/ /models/m2/")


@pytest.mark.parametrize(
    "damage",
    [
        {"exists": False},
        {"config": False},
        {"shards": 0},
        {"missing": ["a"]},
        {"dangling": ["a"]},
        {"broken": [{"name": "a", "wanted": 2, "found": 1}]},
        {"unreadable": [{"name": "a", "user": "root", "uid": 0, "mode": "0600"}]},
    ],
)
def test_no_checkpoint_comes_from_a_node_that_has_it_not_whole(damage: dict[str, Any]) -> None:
    answers = healthy()
    answers.facts["spark-1"]["model"] |= damage
    lacking(answers, TWO)
    (found,) = of(answers, "model.present", TWO)
    assert found.fix
    assert found.fix.to_paste == ()
    assert "hf download" in found.fix.text


@pytest.mark.parametrize("whole", [True, False])
def test_a_checkpoint_that_differs_is_copied_from_a_head_that_has_it_whole(whole: bool) -> None:
    answers = healthy()
    answers.facts["spark-1"]["model"] |= {"digest": "other", "missing": [] if whole else ["a"]}
    (found,) = of(answers, "model.same")
    assert found.fix
    assert found.fix.to_paste[:1] == (
        (
            "rsync --archive --copy-links --checksum --protect-args --mkpath"
            " root@192.168.100.11:/models/m2/ /models/m2/",
        )
        if whole
        else ()
    )
    assert ("not whole" in found.fix.text) == (not whole)


def test_without_a_fabric_a_checkpoint_comes_by_the_inventorys_host() -> None:
    answers = healthy(INVENTORY.replace("10.77.0.11", "fd00::11"))
    lacking(answers, TWO)
    answers.facts[TWO]["ib"] = {}
    assert words(answers, "model.present")[0][-2] == "root@[fd00::11]:/models/m2/"


LINES = {
    "sudo ip link set x up": "ip link set x up",
    "echo '* - x' | sudo tee /etc/x": "echo '* - x' | tee /etc/x",
    "sudo swapoff -a && sudo swapon -a": "swapoff -a && swapon -a",
    "sudo ls '/a; sudo b' \"| sudo c\"": "ls '/a; sudo b' \"| sudo c\"",
    "sudo -u bob ls": "sudo -u bob ls",
    "sudoedit /etc/x": "sudoedit /etc/x",
    "man sudo x": "man sudo x",
}


@pytest.mark.parametrize("line", LINES)
def test_root_needs_no_sudo(line: str) -> None:
    remedy = Remedy("", (line,), (Action("", "drop-caches"),))
    drop = "sysctl -w vm.drop_caches=3"
    assert remedy.at(root=True, inventory="").to_paste == (drop, LINES[line])
    assert remedy.at(root=False, inventory="i.yaml").to_paste == (f"sudo {drop}", line)


def leftover(**facts: Any) -> Answers:
    """A process of an older run on the second node, and a wrong MTU there."""
    answers = healthy()
    two = answers.facts[TWO]
    two["ours"] = [process("vllm", "python", run="old")]
    two["net"]["enp1s0f0np0"]["mtu"] = 1500
    two |= facts
    return answers


def test_a_leftover_is_ended_alone_and_by_the_users_inventory() -> None:
    answers = leftover()
    snapshot, found = answers.snapshot(), of(answers, "host.leftovers")
    (finding,) = pasteable(snapshot, found, "../my lab.yaml")
    assert finding.fix
    end = "sparkctl doctor --fix --check host.leftovers -i '../my lab.yaml'"
    assert finding.fix.to_paste == (end,)
    assert finding.document()["fix"]["commands"] == [end]
    (finding,) = pasteable(snapshot, found, "")
    assert finding.document()["fix"]["commands"] == [end.partition(" -i ")[0]]


@pytest.mark.parametrize(("uid", "sudo"), [(0, ""), (1000, "sudo ")])
def test_fix_shows_what_it_runs(uid: int, sudo: str) -> None:
    snapshot = leftover(uid=uid).snapshot()
    shown = [str(p) for p in plan(pasteable(snapshot, examined(snapshot), "i.yaml"))]
    assert shown == [  # the user agrees to these lines
        "spark-2: set the MTU of enp1s0f0np0 from 1500 to 9000"
        f" ({sudo}ip link set enp1s0f0np0 mtu 9000)",
        "spark-2: end the processes of run old",
    ]


def test_a_profile_that_sets_what_the_session_has_is_expected_unset() -> None:
    answers = healthy()
    settings = answers.facts[TWO]["settings"]
    entry = {"path": "/etc/profile.d/x.sh", "line": 1, "name": "NCCL_NET", "value": "IB"}
    settings["profiles"], settings["session"] = [entry], {"NCCL_NET": "IB"}
    (finding,) = of(answers, "settings.profiles")
    assert [(e.expected, e.got) for e in finding.evidence] == [("NCCL_NET unset", "IB")]

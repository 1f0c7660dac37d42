"""Commands of remedies, as they are pasted into a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.fix import plan
from sparkctl.doctor.remedy import Action, Remedy
from sparkctl.doctor.runner import pasteable
from tests.unit.doctorview import INVENTORY, examined, healthy

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import View

TWO = "spark-2"
ODD = "/models/Mini Max; M2 'x' $(y)"


def of(view: View, check: str, node: str = TWO) -> list[Finding]:
    """What a check says of a node and how to mend."""
    return [f for f in examined(view, check) if f.node == node and f.fix]


def words(view: View, check: str) -> list[list[str]]:
    """The words that a shell makes of the check's commands."""
    return [shlex.split(c) for f in of(view, check) if f.fix for c in f.fix.to_paste]


def test_a_path_of_the_inventory_is_one_word_of_each_command() -> None:
    view = healthy()
    facts = view.facts(TWO)
    shard = {"name": "m", "user": "root", "uid": 0, "mode": "0600"}
    facts["model"] |= {"path": ODD, "unreadable": [shard]}
    assert words(view, "model.present") == [["sudo", "chown", "-R", "root", ODD]]
    facts["model"]["exists"] = False
    assert words(view, "model.present")[0][-2:] == [f"10.77.0.11:{ODD}/", f"{ODD}/"]
    facts["disk"] = {"model": {"path": ODD, "free": 1, "total": 2}}
    assert words(view, "host.disk")[0][:5] == ["sudo", "du", "-xh", "--max-depth=2", ODD]
    facts["runtime"] |= {"venv": ODD, "versions": {**facts["runtime"]["versions"], "ray": "1"}}
    assert words(view, "runtime.versions")[0][:2] == [f"{ODD}/bin/pip", "install"]
    facts["runtime"]["exists"] = False
    assert words(view, "runtime.present") == [
        ["python3", "-m", "venv", ODD], [f"{ODD}/bin/pip", "install", "dgx-sparkctl[node]"],
    ]  # fmt: skip
    view.sources["imports"][TWO]["torch"]["error"] = "no"
    assert words(view, "runtime.imports")[0][0] == f"{ODD}/bin/pip"
    facts["user"], facts["uid"] = "a b", 1000
    facts["system"] |= {"linger": False, "remove_ipc": True}
    assert ["sudo", "loginctl", "enable-linger", "a b"] in words(view, "host.login")


@pytest.mark.parametrize(
    ("ssh", "source", "rsh"),
    [
        ("{}", "10.77.0.11:/models/m2/", []),
        ("{user: ops, port: 2222}", "ops@10.77.0.11:/models/m2/", ["--rsh", "ssh -p 2222"]),
    ],
)
def test_a_checkpoint_comes_from_the_head_but_never_to_it(
    ssh: str, source: str, rsh: list[str]
) -> None:
    view = healthy(INVENTORY + f"ssh: {ssh}\n")
    for name in ("spark-1", TWO):
        view.facts(name)["model"]["exists"] = False
    (command,) = words(view, "model.present")
    assert command[:1] == ["rsync"]
    assert command[-2:] == [source, "/models/m2/"]
    assert command[-2 - len(rsh) : -2] == rsh
    (head,) = of(view, "model.present", "spark-1")
    assert head.fix
    assert head.fix.to_paste == ()
    assert "download" in head.fix.text


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
    remedy = Remedy("", (line,), (Action("", ("ls", "sudo b")),))
    assert remedy.at(root=True, inventory="").to_paste == ("ls 'sudo b'", LINES[line])
    assert remedy.at(root=False, inventory="i.yaml").to_paste == ("sudo ls 'sudo b'", line)


def leftover(**facts: Any) -> View:
    """A process of an older run on the second node, and the MTU of that node wrong."""
    view = healthy()
    stray = {"pid": 9, "role": "vllm", "command": "python", "run": "old", "cluster": "lab"}
    two = view.facts(TWO)
    two["ours"] = [{**stray, "environment": None, "libraries": {}}]
    two["net"]["enp1s0f0np0"]["mtu"] = 1500
    two |= facts
    return view


def test_a_leftover_is_ended_alone_and_by_the_users_inventory() -> None:
    (finding,) = pasteable(view := leftover(), of(view, "host.leftovers"), "../my lab.yaml")
    assert finding.fix
    end = "sparkctl doctor --fix --check host.leftovers -i '../my lab.yaml'"
    assert finding.fix.to_paste == (end,)
    assert finding.document()["fix"]["commands"] == [end]
    (finding,) = pasteable(view, of(view, "host.leftovers"), "")
    assert finding.document()["fix"]["commands"] == [end.partition(" -i ")[0]]


@pytest.mark.parametrize(("uid", "sudo"), [(0, ""), (1000, "sudo ")])
def test_fix_tells_what_it_runs(uid: int, sudo: str) -> None:
    view = leftover(uid=uid)
    told = [str(p) for p in plan(pasteable(view, examined(view), "i.yaml"))]
    assert told == [
        "spark-2: set the MTU of enp1s0f0np0 from 1500 to 9000"
        f" ({sudo}ip link set enp1s0f0np0 mtu 9000)",
        "spark-2: end what run old left",
    ]


def test_a_profile_that_sets_what_the_session_has_is_wanted_unset() -> None:
    view = healthy()
    settings = view.facts(TWO)["settings"]
    entry = {"path": "/etc/profile.d/x.sh", "line": 1, "name": "NCCL_NET", "value": "IB"}
    settings["profiles"], settings["session"] = [entry], {"NCCL_NET": "IB"}
    (finding,) = of(view, "settings.profiles")
    assert [(e.wanted, e.found) for e in finding.evidence] == [("NCCL_NET unset", "IB")]

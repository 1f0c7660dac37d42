"""A start that is under way: watched, left, detached, taken over; with the toy engine."""

from __future__ import annotations

import json
import re
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.cluster import Cluster, until
from tests.lab.crashes import crash
from tests.lab.toycluster import (
    FOLDER,
    completed,
    hold,
    let_go,
    port,
    ranks,
    toy_cluster,
    with_rows,
)
from tests.screen import Terminal

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("toys")]
UP = ("up", "--ignore-check", "runtime.imports")  # of vLLM, for seconds
LOADING = "loading toys 40%"
UNITS = ["toy/0/rank/spark-1", "toy/0/rank/spark-2"]
SESSIONS = "pgrep -f '[s]shd.*: root@notty'"
LEASE = {"SPARKCTL_TEST_LEASE": "12"}  # seconds; a busy machine may not renew it for some


@pytest.fixture
def toy(lab: Lab, cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    assert cluster.traces() == {}
    toy = with_rows(toy_cluster(lab, tmp_path), **LEASE)
    yield toy
    let_go(toy)
    toy.run("down", "--break-lock")
    assert cluster.traces() == {}


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """What a command printed at its end."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
    return out, err


def loading(cluster: Cluster, *options: str) -> tuple[subprocess.Popen[str], str]:
    """An `up` that has just shown how far the start is."""
    return until(cluster, LOADING, *UP, *options)


def gang(cluster: Cluster) -> list[str]:
    """The pids of both ranks."""
    pids = [pid for found in ranks(cluster).values() for pid in found]
    assert len(pids) == 2
    return pids


def served(cluster: Cluster, pids: list[str] | None = None) -> None:
    """One gang serves, of these processes if any are given."""
    assert completed(cluster.lab) == 2
    assert gang(cluster) == (pids or gang(cluster))


def test_another_ups_start_is_watched_until_it_serves(toy: Cluster) -> None:
    hold(toy)
    first, _ = loading(toy)
    pids = gang(toy)
    second, seen = loading(toy)
    assert re.search(rf"\(pid {first.pid}\) began the start \d+ (s|min) ago\n", seen)
    assert re.search(rf"watch the start by \S+ \(pid {first.pid}\)\n", seen)
    third, _ = loading(toy)
    third.send_signal(signal.SIGINT)
    assert "goes on" in ended(third, 130)[1]
    detached = json.loads(toy.run(*UP, "--detach", "--json").stdout)
    assert (detached["starting"], detached["changed"]) == (UNITS, False)
    assert toy.error("down")["code"] == "locked"
    status = toy.run("status", code=1).stdout
    assert "starting" in status
    assert "loading toys 40 %" in status
    let_go(toy)
    assert not ended(first)[0].startswith("no changes")
    assert ended(second)[0].startswith("no changes")
    served(toy, pids)


def test_of_two_ups_at_once_one_starts(toy: Cluster) -> None:
    pair = [toy.start(*UP) for _ in range(2)]
    outs = sorted(ended(process)[0].startswith("no changes") for process in pair)
    assert outs == [False, True]
    served(toy)


def test_a_start_that_fails_is_made_again_by_the_up_that_watched_it(toy: Cluster) -> None:
    hold(toy)
    first, _ = loading(toy)
    pids = gang(toy)
    second, _ = loading(toy)
    hold(toy, "exit")
    assert "no toys left" in ended(first, 1)[1]
    assert not ended(second)[0].startswith("no changes")
    served(toy)
    assert not {*gang(toy)} & {*pids}


def test_a_rank_that_ends_while_rank_0_loads_ends_the_start(toy: Cluster) -> None:
    hold(toy)
    first, _ = loading(toy)
    _, second = gang(toy)
    toy.on(toy.lab.nodes[1].name, f"kill -9 {second}")
    printed = ended(first, 1)[1]
    assert "toy rank 1 exited during startup" in printed
    assert "rank 1 joined" in printed, "its own log's end"


def test_the_starts_of_two_services_are_watched_at_once(toy: Cluster) -> None:
    value = yaml.safe_load(toy.inventory.read_text())
    row = value["services"]["toy"]
    value["nodes"] = [{"name": n["name"], "host": n["host"]} for n in value["nodes"]]
    value["services"] = {
        name: {**row, "nodes": [node], "tensor_parallel_size": 1, "port": port(number)}
        for name, node, number in (("chat", "spark-1", 0), ("code", "spark-2", 1))
    }
    toy.inventory.write_text(yaml.safe_dump(value))
    hold(toy)
    toy.on("spark-2", f"echo 40 > {FOLDER}/hold")
    shown = [f"{name}: {LOADING}" for name in ("chat", "code")]
    first, _ = until(toy, shown[1], *UP)
    watching = [until(toy, line, *UP)[0] for line in shown]
    let_go(toy)
    toy.on("spark-2", f"rm {FOLDER}/hold")
    for process in (first, *watching):
        ended(process)


def test_a_start_whose_controller_was_killed_goes_on(toy: Cluster) -> None:
    hold(toy)
    first, _ = loading(toy)
    pids = gang(toy)
    second, _ = loading(toy)
    first.kill()
    ended(first, -signal.SIGKILL)
    third, seen = loading(toy, "--break-lock")
    assert "watch the start by" not in seen
    third.send_signal(signal.SIGINT)
    assert "goes on" in ended(third, 130)[1]
    let_go(toy)
    assert ended(second)[0].startswith("no changes")
    served(toy, pids)


def test_a_watcher_takes_over_when_a_dead_controllers_lease_expires(toy: Cluster) -> None:
    hold(toy)
    first, _ = loading(toy)
    pids = gang(toy)
    second, _ = loading(toy)
    first.kill()
    ended(first, -signal.SIGKILL)
    let_go(toy)
    assert ended(second)[0].startswith("no changes")
    served(toy, pids)
    toy.run("down")


def test_a_detached_start_goes_on(toy: Cluster) -> None:
    hold(toy)
    assert "is starting" in toy.run(*UP, "--detach").stdout
    pids = gang(toy)
    second, _ = loading(toy)
    let_go(toy)
    assert ended(second)[0].startswith("no changes")
    served(toy, pids)


@pytest.mark.parametrize(("before", "then"), [("exit", ""), ("40", "fail")])
def test_a_detached_start_that_failed_is_named_and_replaced(
    toy: Cluster, before: str, then: str
) -> None:
    hold(toy, before)
    assert "is starting" in toy.run(*UP, "--detach").stdout
    if then:
        hold(toy, then)
    toy.on("spark-1", f"while [ -e {FOLDER}/hold ]; do sleep 0.05; done")
    pids = [pid for found in ranks(toy).values() for pid in found]
    units = json.loads(toy.run("status", "--json", code=1).stdout)["units"]
    assert [unit["state"] for unit in units] == ["failed", "failed"]
    assert all("toy rank 0 " in unit["why"] for unit in units)
    assert all(unit["why"].endswith(": no toys left") for unit in units)
    done = toy.run(*UP)
    assert "the last start of rank on spark-1 failed: toy rank 0" in done.stderr
    assert "no toys left" in done.stderr
    served(toy)
    assert not {*gang(toy)} & {*pids}


@pytest.mark.parametrize("answer", ["y", "n", "SIGINT", "SIGTERM"])
def test_ctrl_c_at_a_terminal_asks(toy: Cluster, answer: str) -> None:
    hold(toy)
    values = {**toy.variables, "SPARKCTL_INVENTORY": str(toy.inventory)}
    with Terminal([*toy.program, *UP], environment=values) as terminal:
        terminal.until(partial(shows, "loading toys"))
        pids = gang(toy)
        interrupt = signal.SIGTERM if answer == "SIGTERM" else signal.SIGINT
        terminal.process.send_signal(interrupt)
        if answer != "SIGTERM":
            terminal.until(partial(shows, "Leave it running?"))
            if answer == "SIGINT":
                terminal.process.send_signal(signal.SIGINT)
            else:
                terminal.type(f"{answer}\n")
        lines = terminal.ended()
    assert terminal.process.returncode == 130
    assert shows("Left running" if answer == "y" else "Rolled back", lines)
    if answer != "y":
        assert shows("Leave it running?", lines) == (answer != "SIGTERM")
        assert not any(ranks(toy).values())
        return
    second, seen = loading(toy)
    assert "watch the start by" not in seen
    let_go(toy)
    assert ended(second)[0].startswith("no changes")
    served(toy, pids)


def test_a_terminal_that_is_closed_rolls_back(toy: Cluster) -> None:
    hold(toy)
    values = {**toy.variables, "SPARKCTL_INVENTORY": str(toy.inventory)}
    session = ("setsid", "--ctty", "--wait")  # the terminal sends SIGHUP to what it controls
    with Terminal([*session, *toy.program, *UP], environment=values) as terminal:
        terminal.until(partial(shows, "loading toys"))
        gang(toy)
        terminal.close()
        assert terminal.process.wait(60) == 130
    assert not any(ranks(toy).values())
    assert toy.run("down").stdout == "nothing to do\n"


def shows(text: str, lines: list[str]) -> bool:
    return any(text in line for line in lines)


def test_without_a_terminal_ctrl_c_rolls_back(toy: Cluster) -> None:
    hold(toy)
    first, _ = loading(toy)
    first.send_signal(signal.SIGINT)
    assert "Rolled back" in ended(first, 130)[1]
    assert not any(ranks(toy).values())


def test_a_start_that_was_killed_between_two_waves_keeps_the_first(
    lab: Lab, toy: Cluster, tmp_path: Path
) -> None:
    line = with_rows(toy_cluster(lab, tmp_path, executor="line"), **LEASE)
    crash(line, "after launch.start on spark-2", *UP)
    (first,) = ranks(line)["spark-2"]
    # Its lease holds, but nobody renews it: no other has started the rest.
    assert json.loads(line.run(*UP, "--detach", "--json").stdout)["changed"]
    crash(line, "before settle.settle on spark-1", *UP)
    pids = gang(line)
    assert first in pids
    assert line.run(*UP, "--break-lock").stdout.startswith("no changes")
    served(line, pids)


def test_a_connection_that_is_lost_in_a_start_is_made_again(toy: Cluster) -> None:
    hold(toy)
    first, seen = loading(toy)
    assert first.stderr is not None
    for node in ranks(toy):
        toy.on(node, f"for p in $({SESSIONS}); do [ $p = $PPID ] || kill -9 $p; done")
    hold(toy, "60")
    while "60%" not in seen:
        seen += first.stderr.readline()
    let_go(toy)
    _, rest = ended(first)
    assert "connection to spark-1 lost; reconnecting" in seen
    assert [(seen + rest).count(f"loading toys {n}%") for n in (40, 60)] == [1, 1]
    served(toy)

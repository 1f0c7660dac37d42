"""Completion in real shells on a terminal, and what completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from sparkctl.cli.names import COMMON
from sparkctl.doctor.table import CHECKS
from tests.cli.test_cli import sparkctl
from tests.screen import Terminal
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = "ready>"
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"PS1='{PROMPT} '"),
    "zsh": (["zsh", "-f", "-i"], f"autoload -U compinit; compinit -u -D; PS1='{PROMPT} '"),
    "fish": (
        ["setsid", "--ctty", "--wait", "fish", "--no-config", "-i"],
        f"function fish_prompt; echo '{PROMPT} '; end",
    ),
}
SOURCE = {"fish": "sparkctl completion fish | source"}
SERVICES = """\
services:
  chat: {model: /m, nodes: [spark-1], tensor_parallel_size: 1, executor: mp}
  code: {engine: sglang, model: /n, nodes: [spark-2], tensor_parallel_size: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an inventory of a pair, one of two services in containers, and a broken one."""
    (tmp_path / "inventory.yaml").write_text(GOOD)
    start = GOOD[: GOOD.index("vllm:")].replace("role: head", "").replace(", role: worker", "")
    runtime = "runtime: {image: 'vllm/vllm-openai:v1'}\n"
    (tmp_path / "two.yaml").write_text(start + runtime + SERVICES)
    (tmp_path / "broken.yaml").write_text(GOOD.replace("nodes:", "nods:"))
    return tmp_path


def completed(folder: Path, line: str, **environment: str) -> list[str]:
    """What completes the last word of a line, as bash's script asks it."""
    words = line.split(" ")
    given = {"_SPARKCTL_COMPLETE": "bash_complete", "COMP_WORDS": "\n".join(words)}
    done = subprocess.run(
        [sys.executable, "-m", "sparkctl"],
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state"), **given, **environment}
        | {"COMP_CWORD": str(len(words) - 1)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert not (folder / "state").exists()
    return [item.partition(",")[2] for item in done.stdout.split()]


def test_a_pipe_for_an_inventory_completes_to_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)
    assert completed(folder, "sparkctl env -i pipe ") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes(shell: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv, setup = SHELLS[shell]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "HISTFILE": "", "PS1": "", "TERM": "xterm"}
    monkeypatch.chdir(folder)
    lines = {
        "sparkctl stat": "sparkctl status",
        "sparkctl status --de": "sparkctl status --deep",
        "sparkctl doctor --check fabric.mt": "sparkctl doctor --check fabric.mtu",
        "sparkctl logs vllm/0/v": "sparkctl logs vllm/0/vllm/spark-1",
        "sparkctl down --inventory=two.yaml cod": "sparkctl down --inventory=two.yaml code",
        "sparkctl lab fault mtu-": "sparkctl lab fault mtu-1500",
        "sparkctl validate -i tw": "sparkctl validate -i two.yaml",
        "sparkctl completion zs": "sparkctl completion zsh",
    }
    with Terminal(argv, columns=100, environment=environment) as terminal:
        terminal.type(setup + "\n")
        terminal.until(lambda rows: rows[-1].startswith(PROMPT))
        terminal.type(SOURCE.get(shell, f"source <(sparkctl completion {shell})") + "; clear\n")
        terminal.until(lambda rows: rows == [PROMPT])
        for typed, whole in lines.items():
            terminal.type(typed + "\t")
            terminal.until(_line(whole))
            terminal.type("\x15")
            terminal.until(lambda rows: rows[-1] == PROMPT)


def _line(whole: str) -> Callable[[list[str]], bool]:
    return lambda rows: rows[-1].rstrip() == f"{PROMPT} {whole}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sparkctl env ", ["spark-1", "spark-2"]),
        ("sparkctl doctor spark-1 ", ["spark-2"]),
        ("sparkctl doctor -i two.yaml spark-2 s", ["spark-1"]),
        ("sparkctl image sync -i two.yaml --from spark-2 c", ["chat", "code"]),
        ("sparkctl image sync -i two.yaml chat --from ", ["spark-1", "spark-2"]),
        ("sparkctl node install --node spark-", ["spark-1", "spark-2"]),
        ("sparkctl restart ", ["vllm"]),
        ("sparkctl logs r", ["ray"]),
        ("sparkctl logs ray sp", ["spark-1", "spark-2"]),
        ("sparkctl logs -i two.yaml con", ["container"]),
        (
            "sparkctl logs -i two.yaml chat/",
            ["chat/0/container/spark-1", "chat/0/vllm/spark-1"],
        ),
        ("sparkctl up --ignore-check fabric.mt", ["fabric.mtu"]),
        ("sparkctl doctor --skip runtime.p", ["runtime.present"]),
        ("sparkctl lab fault gpu-", ["gpu-hangs", "gpu-spins"]),
        ("sparkctl lab he", ["heal"]),
        ("sparkctl fabric ", ["show", "match"]),
        ("sparkctl completion ", ["bash", "zsh", "fish"]),
        ("sparkctl logs -i broken.yaml ", []),
        ("sparkctl logs -i missing.yaml ", []),
        ("sparkctl logs -i / ", []),
        ("sparkctl lab heal --dir /nowhere ", []),
        ("sparkctl lab ssh --dir /nowhere ", []),
        ("sparkctl up --nonsense ", []),
    ],
)
def test_what_completes(line: str, expected: list[str], folder: Path) -> None:
    assert completed(folder, line) == expected


def test_a_kind_is_called_what_its_units_have_in_common(folder: Path) -> None:
    context = click.Context(click.Command("logs"))
    context.params["inventory"] = folder / "inventory.yaml"
    found = COMMON["UNIT"](context)
    assert found["ray"] == "kind, Ray"
    assert found["vllm/0/ray/spark-2"] == "Ray worker"


def test_the_environment_names_the_inventory(folder: Path) -> None:
    named = {"SPARKCTL_INVENTORY": "two.yaml"}
    assert completed(folder, "sparkctl down ", **named) == ["chat", "code"]
    assert completed(folder, "sparkctl down -i inventory.yaml ", **named) == ["vllm"]


def test_every_check_completes() -> None:
    names = COMMON["ID"](click.Context(click.Command("doctor")))
    assert {check.id for check in CHECKS} | {c.id.partition(".")[0] for c in CHECKS} == {*names}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_goes_to_stdout_and_another_shell_is_refused(shell: str) -> None:
    assert sparkctl("completion", shell).stdout.count("_SPARKCTL_COMPLETE") == 1
    assert sparkctl("completion", f"{shell}x").returncode == 2

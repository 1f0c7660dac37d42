"""`sparkctl node install` on real nodes, with tiny wheels in a folder and no index."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import wheels
from tests.lab.cluster import Cluster, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("clean")]
ROOT = Path(__file__).parents[2]
HEAD, WORKER = "spark-1", "spark-2"
FOLDER, BESIDE = "/root/venvs", "/root/venvs/.v.sparkctl"
VENV = f"{FOLDER}/v"
MADE = "/root/vllm"  # by README's lines
# A wheel that pip waits for: opening a pipe blocks until something writes.
SLOW = "torch-2.13.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def links(lab: Lab) -> Iterator[Path]:
    """The folder of wheels, which the nodes see."""
    folder = wheels.build(lab.base / "wheels")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def installs(cluster: Cluster, links: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose nodes have copies of the wheels and no virtual environment, also later."""
    for node in (HEAD, WORKER):
        cluster.on(node, f"mkdir {FOLDER} && cp -r {links} {FOLDER}/wheels")
    yield cluster.changed(tmp_path / "inventory.yaml", runtime={"venv": VENV})
    for node in (HEAD, WORKER):
        cluster.on(node, f"umount -q {FOLDER}/small; rm -rf {FOLDER}")


INSTALL = ("node", "install", "--no-index", "--find-links", f"{FOLDER}/wheels")


def done(cluster: Cluster, *more: str) -> dict[str, Any]:
    """What `node install` did, by node."""
    nodes: dict[str, Any] = json.loads(cluster.run(*INSTALL, *more, "--json").stdout)["nodes"]
    return nodes


def there(cluster: Cluster, node: str) -> list[str]:
    """What there is of the virtual environment on a node."""
    return cluster.on(node, f"cd {FOLDER}; find . -maxdepth 2 ! -path '*wheels*' | sort").split()


def replaced_source(line: str, links: Path) -> str:
    """A line of the README with the lab's source of wheels."""
    command = line.partition(" #")[0].strip()
    if command.split()[:2] == ["pip", "install"]:
        return f"{command} --quiet --no-index --no-build-isolation"
    installs = command == "sparkctl node install"
    more = f"--no-index --find-links {links}" if installs else ""
    return f"{command} {more}"


def controller(folder: Path) -> dict[str, str]:
    """An environment with a fresh Python for the controller that has what sparkctl requires."""
    venv = folder / "controller"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    site = next(venv.glob("lib/python3*/site-packages"))
    (site / "own.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = venv / "bin/pip"
    pip.write_text(f'#!/bin/sh\nexec {venv}/bin/python -m pip "$@"\n')
    pip.chmod(0o755)
    path = f"{venv}/bin:/usr/bin:/bin"
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PATH": path}


@pytest.fixture(scope="module")
def followed(
    lab: Lab, links: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.CompletedProcess[str]]:
    """What README's lines for two real Sparks did on the lab's nodes, up to `up` without it."""
    text = (ROOT / "README.md").read_text()
    section = text.partition("## Two real Sparks\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith(" " * 7)]
    assert lines[-1] == "sparkctl up"
    folder = tmp_path_factory.mktemp("readme")
    source, edit = folder / "sparkctl", folder / "edit.py"
    shutil.copytree(ROOT / "sparkctl", source / "sparkctl")
    for name in ("setup.cfg", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    edit.write_text(edited(lab))
    script = []
    for line in lines[:-1]:
        script.append(replaced_source(line, links))
        if "# edit inventory.yaml" in line:
            script.append(f"python3 {edit}")
    yield subprocess.run(
        ["bash", "-euxc", "\n".join([*script, "sparkctl up --dry-run"])],
        env=controller(folder),
        cwd=source,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for node in (HEAD, WORKER):
        Cluster(lab, lab.inventory).on(node, f"rm -rf {MADE}")


def edited(lab: Lab) -> str:
    """A program that edits the starter inventory as a user does: hosts, user, model."""
    ssh = f"user: root, identity_file: {lab.base}/client_key, known_hosts: {lab.base}/known_hosts"
    edits = {
        "ssh: #": f"ssh: {{{ssh}}} #",
        "\n  user: nvidia": "",
        **{f"host: {n.name}.local": f"host: {n.address}" for n in lab.nodes},
        # Other tests take memory meanwhile: plan's checks see it.
        "model: /models/MiniMax-M2.7-NVFP4-GB10": f"model: {lab.base / 'model'}\n"
        "  arguments: {gpu-memory-utilization: 0.01}",
    }
    return (
        f"from pathlib import Path\npath = Path('inventory.yaml')\ntext = path.read_text()\n"
        f"for before, after in {edits!r}.items():\n"
        f"    assert before in text, before\n    text = text.replace(before, after)\n"
        f"path.write_text(text)\n"
    )


def test_the_readmes_lines_for_two_sparks_install(
    followed: subprocess.CompletedProcess[str], cluster: Cluster
) -> None:
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert "would start vLLM on spark-1" in followed.stdout
    for node in (HEAD, WORKER):
        assert f"{node}: installed: {MADE} has Python 3" in followed.stdout
        printed = cluster.on(node, f"{MADE}/bin/vllm; {MADE}/bin/ray").split()
        assert printed == [wheels.VERSIONS["vllm"], wheels.VERSIONS["ray"]]
        assert f"{MADE}/bin/python" in cluster.on(node, f"head -1 {MADE}/bin/pip")
        assert "Successfully installed" in cluster.on(node, f"cat {MADE}/sparkctl-install.log")
        assert cluster.on(node, "ls -d ~/.*sparkctl*", check=False) == ""


@pytest.mark.usefixtures("followed")
def test_what_is_there_is_kept_or_replaced_with_consent(installs: Cluster, tmp_path: Path) -> None:
    made = installs.changed(tmp_path / "made.yaml", runtime={"venv": "~/vllm"})
    again = done(made)
    for node in (HEAD, WORKER):
        assert (again[node]["action"], again[node]["versions"]) == ("unchanged", wheels.VERSIONS)
    differs = ("--node", WORKER, "--vllm", wheels.OTHER)
    error = made.error(*INSTALL, *differs, code=2)
    assert error["code"] == "consent-required"
    assert error["data"]["differences"] == [
        f"{WORKER}: {MADE}: vllm is {wheels.VERSIONS['vllm']}, expected {wheels.OTHER}"
    ]
    assert "--yes" in error["hint"]
    # Not while something runs from it.
    holds = f"SPARKCTL_CLUSTER=lab/r setsid {MADE}/bin/python -c 'import time; time.sleep(99)'"
    pid = made.on(WORKER, f"{holds} >/dev/null 2>&1 & echo $!").strip()
    error = made.error(*INSTALL, *differs, "--yes")
    made.on(WORKER, f"kill {pid}")
    assert (error["code"], error["data"]["clusters"]) == ("venv-in-use", ["lab"])
    assert pid in error["data"]["pids"]
    assert "`sparkctl down`" in error["hint"]
    assert done(made, *differs, "--yes")[WORKER]["action"] == "replaced"
    assert made.on(WORKER, f"{MADE}/bin/vllm").strip() == wheels.OTHER


def hold(cluster: Cluster, node: str) -> None:
    """Let pip wait on a node."""
    cluster.on(node, f"cd {FOLDER}/wheels && mv {SLOW} whole && mkfifo {SLOW}")


def let_go(cluster: Cluster, node: str) -> None:
    """The wheel is there again."""
    cluster.on(node, f"cd {FOLDER}/wheels && mv whole {SLOW}")


def test_what_a_killed_command_left_goes_on_and_ctrl_c_takes_it_back(installs: Cluster) -> None:
    hold(installs, WORKER)
    killed, _ = until(installs, "downloading", *INSTALL, "--node", WORKER)
    killed.kill()
    killed.communicate()
    pips = installs.on(WORKER, "pgrep -f '[p]ip install'")
    again, _ = until(installs, "downloading", *INSTALL, "--node", WORKER, "--break-lock")
    assert installs.on(WORKER, "pgrep -f '[p]ip install'") == pips != ""
    again.send_signal(signal.SIGINT)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 130, err
    assert "Rolled back." in err
    assert there(installs, WORKER) == [".", "./.v.sparkctl", "./.v.sparkctl/install.log"]
    assert installs.on(WORKER, "pgrep -f '[p]ip install'", check=False) == ""
    let_go(installs, WORKER)
    assert done(installs, "--node", WORKER)[WORKER]["action"] == "installed"
    assert "./.v.sparkctl" not in there(installs, WORKER)


def test_each_nodes_failure_is_named_and_leaves_nothing(installs: Cluster) -> None:
    installs.on(HEAD, f"mkdir {FOLDER}/small && mount -t tmpfs -o size=5m tmpfs {FOLDER}/small")
    small = installs.changed(installs.inventory, runtime={"venv": f"{FOLDER}/small/v"})
    error = small.error(*INSTALL, "--vllm", wheels.BROKEN)
    assert error["data"] == {
        "nodes": [HEAD, WORKER],
        "codes": ["disk-full", "install-import-failed"],
    }
    assert f"{HEAD}: installation failed: " in error["message"]
    assert "undefined symbol: x" in error["message"]
    for node in (HEAD, WORKER):
        assert installs.on(node, f"find {FOLDER}/small -type f").split() == [
            f"{FOLDER}/small/.v.sparkctl/install.log"
        ]


def test_what_cannot_be_done_is_said_before_anything_is(installs: Cluster) -> None:
    pip = "$(/usr/bin/python3 -c 'import ensurepip; print(ensurepip.__path__[0])')"
    installs.on(HEAD, f"mount -t tmpfs none {pip}")
    try:
        installs.on(WORKER, f"mkdir {VENV} && touch {VENV}/mine")
        error = installs.error(*INSTALL)
        assert error["data"]["codes"] == ["ensurepip-missing", "venv-foreign"]
        assert "sudo apt install python3" in error["message"]
    finally:
        installs.on(HEAD, f"umount {pip}")
    assert there(installs, WORKER) == [".", "./v", "./v/mine"]
    locked = installs.changed(installs.inventory, runtime={"venv": "/proc/v"})
    error = locked.error(*INSTALL, "--node", HEAD, "--python", "9.9")
    assert error["code"] == "python-missing"

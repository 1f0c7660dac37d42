"""Ctrl-C at any moment of a start, and a stdout that cannot be written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.cli.signals import raising
from sparkctl.errors import UsageError
from sparkctl.interrupt import Deferred
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from pathlib import Path

# Ctrl-C at the import of this number. What handles it is there from the fourth on.
CUSTOM = """\
import os, signal, sys
seen = [-1]
def hook(event, args):
    if event == "import" and (seen[0] >= 0 or args[0] == "sparkctl.__main__"):
        seen[0] += 1
        if seen[0] == int(os.environ["AT"]):
            os.kill(os.getpid(), signal.SIGINT)
            if "TWICE" in os.environ:
                os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hook)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An inventory of two hosts that refuse every connection, and a hook for Python's start."""
    nobody = GOOD.replace("host: a", "host: 127.0.0.1").replace("host: b", "host: 127.0.0.2")
    (tmp_path / "inventory.yaml").write_text(nobody + "ssh: {port: 1}\n")
    (tmp_path / "sitecustomize.py").write_text(CUSTOM)
    return tmp_path


def interrupted(
    folder: Path, at: int, *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "AT": str(at), **more}
    return subprocess.run(
        [sys.executable, "-c", "from sparkctl.__main__ import main; main()", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


@pytest.mark.parametrize("at", [4, 17, 40, 90, 150, 220, 310])
def test_ctrl_c_during_the_imports_is_one_line(at: int, folder: Path) -> None:
    done = interrupted(folder, at, "status", "--json")
    assert done.returncode == 130
    assert json.loads(done.stdout)["error"]["code"] == "interrupted"
    assert done.stderr.strip().splitlines()[0] == "interrupted"
    assert "Traceback" not in done.stderr


def test_a_second_ctrl_c_ends_a_start_that_hangs(folder: Path) -> None:
    done = interrupted(folder, 5, "status", TWICE="1")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_an_ignored_ctrl_c_stays_ignored(folder: Path) -> None:
    words = [sys.executable, "-c", "from sparkctl.__main__ import main; main()", "validate"]
    script = f"trap '' INT; PYTHONPATH={':'.join([str(folder), *sys.path])} AT=9 \"$@\""
    done = subprocess.run(["sh", "-c", script, "sh", *words], cwd=folder, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("up", "--help"),
        ("validate",),
        ("status", "--json"),
        ("status",),
        ("down", "-i", "missing", "--json"),
    ],
)
def test_a_full_disk_is_named(words: tuple[str, ...], folder: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        done = subprocess.run(
            [sys.executable, "-m", "sparkctl", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            check=False,
        )
    assert done.returncode == 1
    assert "\nerror: cannot write to stdout: No space left on device\n" in f"\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_a_terminal_without_columns_and_a_narrow_encoding_lose_nothing(folder: Path) -> None:
    text = (folder / "inventory.yaml").read_text()
    model = "model: /models/日本"
    (folder / "inventory.yaml").write_text(re.sub("model: .*", model, text, count=1))
    done = subprocess.run(
        [sys.executable, "-m", "sparkctl", "validate"],
        capture_output=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "latin-1", "COLUMNS": "0"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u65e5\u672c" in done.stdout
    shown = subprocess.run(
        [sys.executable, "-m", "sparkctl", "lab", "faults"],
        capture_output=True,
        check=True,
        env={**os.environ, "COLUMNS": "0"},
    )
    assert b"mtu-1500" in shown.stdout


def test_an_error_that_c_code_makes_of_ctrl_c_is_ctrl_c() -> None:
    """As marshal and pydantic do."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, Deferred())
    try:
        with pytest.raises(KeyboardInterrupt), raising():  # noqa: PT012  # both errors matter
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise ValueError("unmarshallable object") from None
        with pytest.raises(UsageError), raising():
            raise UsageError("theirs")
    finally:
        signal.signal(signal.SIGINT, before)

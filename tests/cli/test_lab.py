"""The words of the lab's commands, without a lab."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from sparkctl.cli.lab import ssh
from tests.cli.test_cli import sparkctl

DEFAULT = Path("/var/lib/sparkctl-lab")


@pytest.mark.parametrize(
    ("line", "folder", "command"),
    [
        ("spark-1", DEFAULT, ()),
        ("--dir /x spark-1 ls", Path("/x"), ("ls",)),
        ("spark-1 --dir /x ls --dir /y", Path("/x"), ("ls", "--dir", "/y")),
        ("spark-1 --dir=/x -- --version", Path("/x"), ("--version",)),
        ("spark-1 -- --dir /x", DEFAULT, ("--dir", "/x")),
        ("--dir /x -- spark-1 -- ls -l", Path("/x"), ("ls", "-l")),
        ("spark-1 ls -- -l", DEFAULT, ("ls", "--", "-l")),
        ("spark-1 nvidia-smi -h", DEFAULT, ("nvidia-smi", "-h")),
    ],
)
def test_options_are_sparkctls_until_the_command_begins(
    line: str, folder: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARKCTL_LAB_DIR", raising=False)
    context = ssh.make_context("ssh", line.split())
    assert context.params == {"folder": folder, "node": "spark-1", "command": command}


@pytest.mark.parametrize("line", ["", "--dir", "spark-1 --dir", "spark-1 -v", "--"])
def test_what_is_incomplete_is_a_usage_error(line: str) -> None:
    with pytest.raises(click.UsageError):
        ssh.make_context("ssh", line.split())


@pytest.mark.parametrize("words", ["ssh spark-1", "fault mtu-1500", "heal mtu-1500"])
def test_the_environment_names_the_lab(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKCTL_LAB_DIR", str(tmp_path / "of-environment"))
    done = sparkctl("lab", *words.split())
    assert done.returncode == 2
    assert str(tmp_path / "of-environment") in done.stderr
    done = sparkctl("lab", *words.split(), "--dir", str(tmp_path / "of-option"))
    assert str(tmp_path / "of-option") in done.stderr

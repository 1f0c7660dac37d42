"""What a node reads of pam_limits' files, of sshd's configuration and of its PAM stack."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import limits, processes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node without any of the files, and no process that came through an sshd."""
    for name, path in (
        ("FILE", "security/limits.conf"),
        ("FOLDER", "security/limits.d"),
        ("PAM", "pam.d"),
        ("SSHD_CONFIG", "ssh/sshd_config"),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        monkeypatch.setattr(limits, name, tmp_path / path)
    monkeypatch.setattr(processes, "PROC", tmp_path / "proc")
    (tmp_path / "security/limits.d").mkdir()
    (tmp_path / "pam.d").mkdir()
    return tmp_path


def read() -> dict[str, Any]:
    return dict(limits.limits())


def test_lines_about_memory_in_the_order_of_pam_limits(etc: Path) -> None:
    (etc / "security/limits.conf").write_text(
        "# * - memlock 1\n\n  u\tSOFT  MemLock  64 KiB # why\n* - nofile 9\nbob -\nu - memlock\n"
    )
    (etc / "security/limits.d/b.conf").write_text("@g hard memlock UNLIMITED\n")
    (etc / "security/limits.d/Z.conf").write_text("* - memlock 2\n")
    (etc / "security/limits.d/c.conf.old").write_text("* - memlock 3\n")
    found = read()["lines"]
    assert [tuple(line.values())[1:] for line in found] == [
        (3, "u", "soft", "64 kib"),
        (5, "bob", "-", None),
        (1, "*", "-", "2"),  # in the locale C capitals come first
        (1, "@g", "hard", "unlimited"),
    ]


def test_a_node_without_the_files(etc: Path) -> None:
    found = read()
    account = pwd.getpwuid(os.getuid())
    assert (found["lines"], found["unread"]) == ([], [])
    assert account.pw_gid in found["gids"]
    assert (found["use_pam"], found["pam_limits"]) == (None, None)


def test_what_is_not_readable_is_named(etc: Path) -> None:
    (etc / "security/limits.d/a.conf").mkdir()
    assert read()["unread"] == [str(etc / "security/limits.d/a.conf")]


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("", False),
        ("UsePAM yes\n", True),
        ("#UsePAM yes\nusepam = no\nUsePAM yes\n", False),
        ('Include sshd_config.d/*.conf\nUsePAM "no"\n', True),
        ("Match User x\nUsePAM yes\n", False),
    ],
)
def test_the_first_value_of_use_pam_counts(etc: Path, text: str, uses: bool) -> None:
    (etc / "ssh/sshd_config").write_text(text)
    (etc / "ssh/sshd_config.d").mkdir()
    (etc / "ssh/sshd_config.d/50.conf").write_text("UsePAM yes\n")
    assert read()["use_pam"] is uses


@pytest.mark.parametrize(
    ("name", "command", "config"),
    [
        (
            "sshd",
            "sshd: /usr/sbin/sshd -D -f /run/x/sshd_config [listener] 0",
            "/run/x/sshd_config",
        ),
        ("sshd", "/usr/sbin/sshd\0-D\0-f/run/x/sshd_config\0", "/run/x/sshd_config"),
        ("sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", None),
        ("bash", "bash -f /run/x", None),
    ],
)
def test_the_configuration_is_that_of_the_sshd_above(
    etc: Path, name: str, command: str, config: str | None
) -> None:
    """This process, its session's sshd, and the sshd that listens."""
    for pid, parent, comm, argv in (
        (os.getpid(), 50, "python3", ""),
        (50, 40, "sshd-session", "sshd: u@notty"),
        (40, 1, name, command),
    ):
        folder = etc / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} ({comm}) S {parent} 1 1")
        (folder / "cmdline").write_text(argv)
    assert read()["sshd_config"] == (config or str(etc / "ssh/sshd_config"))


@pytest.mark.parametrize(
    ("files", "has"),
    [
        ({"sshd": "session required pam_limits.so"}, True),
        ({"sshd": "# session required pam_limits.so\nauth required pam_limits.so"}, False),
        ({"sshd": "@include common", "common": "-session optional pam_limits.so conf=/x"}, True),
        ({"sshd": "session include common", "common": ""}, False),
        ({"sshd": "session [success=1 default=ignore] pam_limits.so"}, True),
        ({"sshd": "session substack common"}, None),
        ({"sshd": "@include sshd"}, False),
        ({}, None),
    ],
)
def test_the_stack_of_sshd(etc: Path, files: dict[str, str], has: bool | None) -> None:
    for name, text in files.items():
        (etc / "pam.d" / name).write_text(text + "\n")
    assert read()["pam_limits"] is has

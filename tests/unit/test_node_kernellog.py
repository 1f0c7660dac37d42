"""What a node reads of the kernel's log: the GPU driver's lines, or why none can be read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import kernellog

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = (
    "NVRM: nvCheckOkFailedNoLog: Check failed: Out of memory [NV_ERR_NO_MEMORY] (0x00000051)"
    " returned from _memdescAllocInternal(pMemDesc) @ mem_desc.c:1359"
)
XID = "NVRM: Xid (PCI:000f:01:00): 31, pid=4711, name=python3, Ch 00000008, intr 00000000"
LOADED = "NVRM: loading NVIDIA UNIX Open Kernel Module for aarch64  580.95.05"
LOG = f"""\
5,0,0,-;Linux version 6.17.0
6,1,2500000,-;{LOADED}
 SUBSYSTEM=pci
 DEVICE=+pci:000f:01:00.0
6,2,9000000,-;eth0: link is up; speed 31
4,3,60000000,-;{XID}
4,4,61000000,c;{MEMORY}
"""


@pytest.fixture(autouse=True)
def kmsg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's kernel log is; there is none yet, and no journal."""
    monkeypatch.setattr(kernellog, "KMSG", tmp_path / "kmsg")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "kmsg"


def read() -> dict[str, Any]:
    return dict(kernellog.kernellog())


def test_the_drivers_errors_and_their_times(kmsg: Path) -> None:
    kmsg.write_text(LOG)
    found = read()
    booted = time.time() - time.monotonic()
    assert [round(line["at"] - booted, 1) for line in found["lines"]] == [60.0, 61.0]
    assert [line["text"] for line in found["lines"]] == [XID, MEMORY]
    assert [line["xid"] for line in found["lines"]] == [31, None]
    assert [line["no_memory"] for line in found["lines"]] == [False, True]
    assert (found["count"], found["complete"], found["error"]) == (3, True, None)


def test_no_number_of_other_lines_hides_an_error(kmsg: Path) -> None:
    fallen = XID.replace(": 31,", ": 79,")
    lines = [f"4,{900 + n},{n},-;{text}" for n, text in enumerate([fallen, MEMORY, MEMORY])]
    lines += [f"4,{903 + n},{3 + n},-;{text}" for n, text in enumerate([XID, LOADED] * 50)]
    kmsg.write_text("\n".join(lines))
    found = read()
    assert (found["count"], found["complete"]) == (103, False)  # the beginning was overwritten
    counts = [(line["xid"], line["no_memory"], line["count"]) for line in found["lines"]]
    assert counts == [(79, False, 1), (None, True, 2), (31, False, 50)]


def test_what_is_answered_is_bounded(kmsg: Path) -> None:
    texts = (XID.replace(": 31,", f": {n},") + "x" * 999 for n in range(100, 150))
    kmsg.write_text("\n".join(f"4,{n},{n},-;{text}" for n, text in enumerate(texts)))
    found = read()
    assert [line["xid"] for line in found["lines"]] == [*range(130, 150)]
    assert {len(line["text"]) for line in found["lines"]} == {kernellog.LENGTH}


def test_an_empty_log_is_none(kmsg: Path) -> None:
    kmsg.touch()
    found = read()
    assert (found["source"], found["complete"]) == (None, False)
    assert "no line of the kernel" in found["error"]


def test_only_a_bounded_part_is_read(kmsg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernellog, "BYTES", 100)
    kmsg.write_text("5,0,0,-;x\n" * 10_000 + f"4,3,6,-;{XID}\n")
    assert read()["count"] == 0


def journal(kmsg: Path, script: str) -> dict[str, Any]:
    program = kmsg.with_name("journalctl")
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return read()


def test_a_log_that_is_denied_is_read_from_the_journal(kmsg: Path) -> None:
    found = journal(kmsg, f"echo '1790000000.123456 spark-1 kernel: {XID}'")
    assert (found["source"], found["error"]) == ("journalctl --dmesg", None)
    (line,) = found["lines"]
    assert (line["at"], line["xid"], line["text"]) == (1790000000.0, 31, XID)


def test_of_a_buffer_that_lost_its_beginning_the_journal_has_more(kmsg: Path) -> None:
    kmsg.write_text(f"4,900,60000000,-;{MEMORY}\n")
    script = f"echo '1790000000.1 h kernel: {XID}'; echo '1790000001.1 h kernel: {MEMORY}'"
    found = journal(kmsg, script)
    assert (found["source"], found["count"]) == ("journalctl --dmesg", 2)
    found = journal(kmsg, "exit 1")
    assert (found["source"], found["count"], found["complete"]) == (str(kmsg), 1, False)


@pytest.mark.parametrize("script", ["echo '-- No entries --'", ":", "exit 1", "echo 1.5 h sshd: x"])
def test_a_journal_that_shows_nothing_is_no_empty_log(kmsg: Path, script: str) -> None:
    found = journal(kmsg, script)
    assert (found["source"], found["lines"]) == (None, [])
    assert found["error"].startswith(f"[Errno 2] No such file or directory: '{kmsg}'; ")


def test_without_a_journal_either_the_reason_is_given() -> None:
    assert "journalctl" in read()["error"]

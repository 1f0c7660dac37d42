"""The file of a support bundle: it replaces none, and is complete or not there."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest

from sparkctl.output.bundle.file import archive, check_new
from tests.refused import refused
from tests.unit.test_bundle import unzipped

if TYPE_CHECKING:
    from pathlib import Path


def fails(path: Path, error: BaseException) -> None:
    """Write a bundle until this error."""
    with archive(path, "f", 1e9) as into:
        into.add("a", "x")
        raise error


def test_no_file_is_replaced_and_none_is_left_of_a_bundle_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with pytest.raises(KeyboardInterrupt):
        fails(path, KeyboardInterrupt())
    with refused("bundle-unwritable"):
        fails(path, OSError(28, os.strerror(28)))
    assert [*tmp_path.iterdir()] == []
    path.symlink_to("nothing")
    with refused("bundle-refused"):
        check_new(path)
    with refused("bundle-refused"), archive(path, "f", 1e9):
        pass
    with refused("bundle-refused"):
        check_new(tmp_path / "none" / "b.zip")
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_system_without_links_has_the_same_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "b.zip"
    with archive(path, "f", 1e9) as into:
        into.add("a", "x")
    assert unzipped(path) == {"a": "x"}
    with refused("bundle-refused"), archive(path, "f", 1e9):
        pass
    assert unzipped(path) == {"a": "x"}


def test_a_disk_that_takes_no_more_is_a_clean_error(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with refused("bundle-unwritable"), archive(tmp_path / "b.zip", "f", 1e9) as into:
            into.add("a", os.urandom(10**5).hex())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [*tmp_path.iterdir()] == []

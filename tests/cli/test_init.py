"""sparkctl init writes all of its files or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.cli import init
from sparkctl.errors import SparkctlError
from tests.cli.test_cli import sparkctl

if TYPE_CHECKING:
    from pathlib import Path

FILES = ["env/gb10-vllm.env", "env/nccl-roce.env", "env/ray.env", "inventory.yaml"]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_it_writes_into_this_folder_and_says_what_is_next(tmp_path: Path) -> None:
    done = sparkctl("init", cwd=tmp_path)
    assert done.returncode == 0
    assert files(tmp_path) == FILES
    assert "edit inventory.yaml, then `sparkctl validate --connect`" in done.stdout
    assert sparkctl("validate", cwd=tmp_path).returncode == 0


def test_what_is_next_names_the_inventory_where_the_variable_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKCTL_INVENTORY", "/x/other.yaml")
    done = sparkctl("init", cwd=tmp_path)
    assert "`sparkctl validate --connect -i inventory.yaml`" in done.stdout


def test_another_folder_is_made_and_named_in_what_is_next(tmp_path: Path) -> None:
    done = sparkctl("init", "a/b", cwd=tmp_path)
    assert done.returncode == 0
    assert files(tmp_path / "a/b") == FILES
    assert "`sparkctl validate --connect -i a/b/inventory.yaml`" in done.stdout


@pytest.mark.parametrize("name", ["inventory.yaml", "env/ray.env"])
def test_it_overwrites_nothing_and_names_what_is_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / name).write_text("mine")
    done = sparkctl("init", cwd=tmp_path)
    assert done.returncode == 1
    assert f"refusing to overwrite {name}; nothing was written" in done.stderr
    assert files(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_to_nowhere_is_there_as_well(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").symlink_to("nowhere")
    done = sparkctl("init", cwd=tmp_path)
    assert done.returncode == 1
    assert "refusing to overwrite inventory.yaml" in done.stderr
    assert files(tmp_path) == ["inventory.yaml"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("mine")
    done = sparkctl("init", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot write env/gb10-vllm.env: " in done.stderr
    assert "nothing was written" in done.stderr
    assert files(tmp_path) == ["env"]


def test_what_was_written_goes_when_the_rest_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    wanted = {tmp_path / "new/a/1": b"1", tmp_path / "new/2": b"2", tmp_path / "taken": b"3"}
    with pytest.raises(SparkctlError, match="taken: File exists; nothing was written"):
        init._write(wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"

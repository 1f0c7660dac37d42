"""What a node says of its model's architecture: from a directory, or from its hub cache."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sparkctl.node.checkpoint import checkpoint
from sparkctl.node.modelconfig import LIMIT, MOST, hub_cache, modelconfig

HUB = "MiniMaxAI/MiniMax-M2"
COMMIT, OLDER = "c0ffee" * 6 + "abcd", "b0a7" * 10
UNPRINTABLE = ["\x1b[2J", "L\u202e", "x" * 101]
CONFIG = {"architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def ask(model: str, revision: str | None = None, **hub: str) -> dict[str, Any]:
    return {**modelconfig(model, revision, hub)}


def cached(cache: Path, config: dict[str, Any] = CONFIG, commit: str = COMMIT) -> Path:
    """A model as huggingface_hub keeps it; gives the blob that config.json is a link to."""
    base = cache / f"models--{HUB.replace('/', '--')}"
    blob = base / "blobs" / f"blob-{commit}"
    snapshot = base / "snapshots" / commit
    for folder in (base / "refs", blob.parent, snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    (base / "refs" / "main").write_text(COMMIT)
    blob.write_text(json.dumps(config))
    (snapshot / "config.json").symlink_to(f"../../blobs/{blob.name}")
    return blob


@pytest.mark.parametrize("model", ["{home}/m", "~/m"])
def test_a_directory(home: Path, model: str) -> None:
    (home / "m").mkdir()
    (home / "m/config.json").write_text(json.dumps(CONFIG))
    path = str(home / "m/config.json")
    assert ask(model.format(home=home)) == {**CONFIG, "path": path, "error": None}


@pytest.mark.parametrize(
    ("place", "hub"),
    [
        (".cache/huggingface/hub", {}),
        ("x/huggingface/hub", {"XDG_CACHE_HOME": "~/x"}),
        ("hf/hub", {"HF_HOME": "$HOME/hf", "XDG_CACHE_HOME": "/nowhere"}),
        ("old", {"HUGGINGFACE_HUB_CACHE": "~/old", "HF_HOME": "/nowhere"}),
        ("c", {"HF_HUB_CACHE": "~/c", "HUGGINGFACE_HUB_CACHE": "/nowhere"}),
    ],
)
def test_the_hub_cache_wherever_it_is(home: Path, place: str, hub: dict[str, str]) -> None:
    cached(home / place)
    assert ask(HUB, **hub)["architectures"] == CONFIG["architectures"]
    assert hub_cache(hub) == home / place


def test_what_up_would_set_wins_over_the_login(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(home / "login"))
    cached(home / "login/hub")
    assert ask(HUB)["architectures"]
    assert ask(HUB, HF_HOME=str(home / "planned"))["architectures"] is None


def test_the_revision_that_vllm_is_given(home: Path) -> None:
    cache = home / ".cache/huggingface/hub"
    cached(cache, {"architectures": ["Old"]}, OLDER)
    cached(cache)
    assert ask(HUB)["architectures"] == CONFIG["architectures"]
    assert ask(HUB, OLDER)["architectures"] == ["Old"]
    assert "revision v2 of MiniMaxAI/MiniMax-M2 is not in the hub" in ask(HUB, "v2")["error"]


def test_a_name_that_is_not_on_the_node(home: Path) -> None:
    reason = f"Qwen/Qwen3 is not in the hub cache {home}/.cache/huggingface/hub"
    nothing = dict.fromkeys(("path", "architectures", "model_type"))
    assert ask("Qwen/Qwen3") == {**nothing, "error": reason}


def test_a_link_of_a_copied_cache_may_lead_nowhere(home: Path) -> None:
    cached(home / ".cache/huggingface/hub").unlink()
    found = ask(HUB)
    assert found["architectures"] is None
    assert found["error"] == f"{found['path']} is a dangling link"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "is not a JSON object"),
        (b"[1]", "is not a JSON object"),
        (b"[" * 200_000, "is not a JSON object"),
        (b'{"a": ' + b"9" * 5000 + b"}", "names no architecture|is not a JSON object"),
        (b"\xff", "is not UTF-8 text"),
        (b"{}", "names no architecture"),
        (b'{"architectures": []}', "names no architecture"),
        (b'{"architectures": "Llama"}', "names no architecture"),
        (b'{"architectures": [1, null, {}]}', "names no architecture"),
        (json.dumps({"architectures": UNPRINTABLE}).encode(), "names no architecture"),
    ],
)
def test_a_config_that_says_nothing(home: Path, text: bytes, said: str) -> None:
    (home / "config.json").write_bytes(text)
    found = ask("~/")
    assert found["architectures"] is None
    assert any(found["error"] == f"{home}/config.json {one}" for one in said.split("|"))


def test_what_is_no_readable_file_is_neither_waited_for_nor_taken_whole(home: Path) -> None:
    path = home / "config.json"
    os.mkfifo(path)
    assert ask("~/")["error"] == f"{path} is not a file"
    path.unlink()
    path.mkdir()
    assert "config.json" in ask("~/")["error"]
    path.rmdir()
    with path.open("wb") as stream:
        stream.truncate(100 * 2**20)
    assert ask("~/")["error"] == f"{path} is larger than {LIMIT} bytes"


def test_what_may_not_be_read_is_not_called_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(home / ".cache/huggingface/hub")
    (home / "config.json").write_text("{}")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)  # root may read all there is
        assert ask("~/")["error"] == f"{home}/config.json cannot be read: Permission denied"
    monkeypatch.setattr(Path, "stat", refuse)
    assert ask(HUB)["error"].endswith("cannot be read: Permission denied")


def test_the_list_is_bounded(home: Path) -> None:
    (home / "config.json").write_text(json.dumps({"architectures": ["A"] * 1000}))
    assert ask("~/")["architectures"] == ["A"] * MOST


def test_links_of_the_cache_whose_files_are_gone(home: Path) -> None:
    """As after a copy of the snapshot without the blobs."""
    cache = home / "cache"
    folder = cached(cache).parents[1] / "snapshots" / COMMIT
    (folder / "a.safetensors").symlink_to("../../blobs/gone")
    (folder / "b.safetensors").symlink_to("../../blobs/" + f"blob-{COMMIT}")
    (folder / "README.md").symlink_to("../../blobs/gone")  # vLLM does not read it
    found = checkpoint(HUB, None, {"HF_HUB_CACHE": str(cache)})
    assert found == {"is_path": False, "path": str(folder), "dangling": ["a.safetensors"]}
    assert checkpoint(HUB, None, {"HF_HUB_CACHE": str(home / "other")}) == {"is_path": False}
    assert checkpoint(HUB, OLDER, {"HF_HUB_CACHE": str(cache)}) == {"is_path": False}


def test_links_of_a_directory_whose_files_are_gone(home: Path) -> None:
    (home / "config.json").write_text("{}")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (home / "model.safetensors.index.json").write_text(json.dumps(index))
    (home / "a.safetensors").symlink_to("../blobs/gone")
    found = checkpoint(str(home))
    assert (found["dangling"], found["missing"]) == (["a.safetensors"], ["b.safetensors"])
    assert (found["shards"], found["broken"]) == (0, [])


def test_weights_that_vllm_does_not_read_may_be_gone(home: Path) -> None:
    folder = home / "model"
    folder.mkdir()
    (folder / "pytorch_model.bin").symlink_to("../blobs/gone")
    assert checkpoint(str(folder))["dangling"] == ["pytorch_model.bin"]
    (folder / "model.safetensors").write_bytes(b"")
    assert checkpoint(str(folder))["dangling"] == []


def test_the_home_of_an_unknown_user_is_a_folders_name(home: Path) -> None:
    assert hub_cache({"HF_HUB_CACHE": "~nobody-here/hub"}) == Path("~nobody-here/hub")
    found = checkpoint("acme/m2", hub={"HF_HUB_CACHE": "~nobody-here/hub"})
    assert found == {"is_path": False}

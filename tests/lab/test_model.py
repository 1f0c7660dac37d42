"""The lab's model, made by the real maker in the real runtime."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from sparkctl.lab.model import STAMP, ensure_model
from tests.refused import refused

CACHE = Path(os.environ.get("SPARKCTL_CACHE", Path.home() / ".cache/sparkctl"))
RUNTIME = CACHE / "runtime"

needs_runtime = pytest.mark.skipif(
    not (RUNTIME / ".vllm").exists(), reason="no lab runtime: run env/setup"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mini"
    ensure_model(path, RUNTIME)
    return path


def tensors(shard: Path) -> dict[str, dict[str, object]]:
    """The header of a safetensors file: its length, then JSON."""
    with shard.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, object]] = json.loads(file.read(size))
    header.pop("__metadata__")
    return header


@needs_runtime
def test_index_names_exactly_what_the_shards_hold(model: Path) -> None:
    index = json.loads((model / "model.safetensors.index.json").read_text())["weight_map"]
    held = {name: p.name for p in model.glob("*.safetensors") for name in tensors(p)}
    assert index == held
    assert len(set(held.values())) == 2
    assert "model.layers.1.block_sparse_moe.experts.3.w2.weight" in held


@needs_runtime
def test_config_is_what_the_cpu_build_serves(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    assert config["architectures"] == ["MiniMaxM2ForCausalLM"]
    assert config["scoring_func"] == "softmax"
    assert config["max_position_embeddings"] >= 196608  # the recipe's --max-model-len


@needs_runtime
def test_tokenizer_has_the_parsers_tokens(model: Path) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    special = {token["content"]: token["special"] for token in tokenizer["added_tokens"]}
    for markup in ("<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"):
        assert special[markup] is False  # decoding must keep it for the parsers
    assert special["[e~["] is True


@needs_runtime
def test_a_complete_model_is_kept_and_another_replaced(model: Path) -> None:
    config = model / "config.json"
    first = config.stat().st_mtime_ns
    ensure_model(model, RUNTIME)
    assert config.stat().st_mtime_ns == first

    weights = sorted(model.glob("*.safetensors"))
    before = [w.read_bytes() for w in weights]
    (model / STAMP).unlink()  # as an interrupted run would leave it
    weights[0].unlink()
    ensure_model(model, RUNTIME)
    assert [w.read_bytes() for w in weights] == before  # the seed is fixed
    assert [p.name for p in model.parent.iterdir()] == ["mini"]


def test_without_a_runtime_the_hint_says_how_to_make_one(tmp_path: Path) -> None:
    with refused("lab-model-failed") as caught:
        ensure_model(tmp_path / "mini", tmp_path / "none")
    assert "No such file" in caught.value.message  # the system's words
    assert "install.sh" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_maker_is_reported_with_its_last_line(tmp_path: Path) -> None:
    python = tmp_path / "runtime/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho first >&2; echo 'No module named torch' >&2; exit 3\n")
    python.chmod(0o755)
    with refused("lab-model-failed") as caught:
        ensure_model(tmp_path / "mini", tmp_path / "runtime")
    assert caught.value.message.endswith("exit status 3: No module named torch")
    assert not (tmp_path / "mini").exists()

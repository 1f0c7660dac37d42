"""vLLM's log as stages, a percentage, fatal lines and causes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.engines.vllm.progress import Progress
from sparkctl.engines.vllm.stages import FIRST_BOOT, STAGES

GOOD = """\
(APIServer pid=1) INFO 11-21 [api_server.py:1] vLLM API server version 0.32.0
(EngineCore pid=2) INFO Initializing a V1 LLM engine (v0.32.0) with config: model='/m'
(EngineCore pid=2) (RayWorkerProc pid=3, ip=192.168.100.12) INFO world_size=2 rank=0 local_rank=0
(RayWorkerProc pid=3) INFO Starting to load model /m...
Loading safetensors checkpoint shards:   0% Completed | 0/26 [00:00<?, ?it/s]\r\
Loading safetensors checkpoint shards:  50% Completed | 13/26 [00:01<?, ?it/s]\r\
Loading safetensors checkpoint shards: 100% Completed | 26/26 [00:02<?, ?it/s]
INFO Loading weights took 2.1 seconds
INFO Model loading took 0.1 GiB
INFO torch.compile took 31.0 s in total
INFO Available KV cache memory: 1.00 GiB
INFO GPU KV cache size: 8,192 tokens
INFO init engine (profile, create kv cache, warmup model) took 40 seconds
INFO Starting vLLM server on http://0.0.0.0:30000
INFO:     Application startup complete.
"""


def test_a_good_start_passes_every_stage_in_order() -> None:
    progress, seen = Progress(), []
    for line in GOOD.splitlines(keepends=True):
        if progress.feed(line):
            seen.append(progress.stage_id)
    assert list(dict.fromkeys(seen)) == [stage.id for stage in STAGES]
    assert progress.ready
    assert progress.root is None


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pieces_cut_anywhere_give_the_same(size: int) -> None:
    progress = Progress()
    for start in range(0, len(GOOD), size):
        progress.feed(GOOD[start : start + size])
    assert progress.ready


LOGS = Path(__file__).parents[1] / "fixtures/vllm"


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=30))
def test_a_real_start_on_two_nodes_passes_its_stages_in_order(cuts: list[int]) -> None:
    text, progress, seen = (LOGS / "serve-tp2.log").read_text(), Progress(), []
    while text:
        for cut in cuts:
            if progress.feed(text[:cut]):
                seen.append(progress.stage)
            text = text[cut:]
    assert seen == sorted(seen)
    assert progress.ready
    assert progress.root is None


def test_a_real_start_shows_each_stage_that_its_log_has() -> None:
    progress, seen = Progress(), []
    for line in (LOGS / "serve-tp2.log").read_text().splitlines(keepends=True):
        if progress.feed(line):
            seen.append(progress.stage_id)
    # The CPU build does not log the cache's size, and Ray prints too late that the ranks join.
    unseen = ("ranks", "kv-cache")
    assert list(dict.fromkeys(seen)) == [s.id for s in STAGES if s.id not in unseen]


def test_the_usual_time_is_shown_from_the_weights_until_the_engine_is_made() -> None:
    """The profile run and the warm-up, which take it, lie in between."""
    progress = Progress()
    usual: list[str] = []
    for line in (LOGS / "gpu-served-then-hung.log").read_text().splitlines(keepends=True):
        progress.feed(line)
        if progress.stage_id == "api":
            break
        if usual or "Loading weights took" in line:
            usual.append(progress.usual)
    assert len(usual) > 30
    assert {*usual} == {FIRST_BOOT}


def test_the_cause_of_a_real_failed_start_is_the_first_error() -> None:
    progress = Progress()
    progress.feed((LOGS / "serve-failed.log").read_text())
    assert progress.failed
    assert str(progress.root) == (
        "ValueError: Following weights were not initialized from checkpoint:"
        " {'model.layers.0.post_attention_layernorm.weight'}"
    )


def test_the_percentage_belongs_to_loading_alone() -> None:
    progress = Progress()
    progress.feed("Loading safetensors checkpoint shards:  50% Completed | 13/26 [00:01]\r")
    assert (progress.stage_id, progress.percent) == ("loading", 50)
    progress.feed("INFO Loading weights took 2 s\n")
    assert (progress.stage_id, progress.percent) == ("preparing", None)


def test_colours_are_removed() -> None:
    progress = Progress()
    progress.feed("\x1b[36m(EngineCore pid=2)\x1b[0m Initializing a V1 \x1b[1mLLM engine\n")
    assert progress.stage_id == "engine"


def test_the_first_error_is_the_cause_and_not_the_line_that_points_at_it() -> None:
    progress = Progress()
    progress.feed(
        "ERROR [core.py] EngineCore failed to start.\n"
        "ERROR [core.py] ValueError: No available memory for the cache blocks.\n"
        "RuntimeError: Engine core initialization failed. See root cause above.\n"
    )
    assert progress.failed
    assert str(progress.root) == "ValueError: No available memory for the cache blocks."


def test_a_refused_argument_is_the_cause() -> None:
    progress = Progress()
    progress.feed("vllm: error: unrecognized arguments: --no-such-flag\n")
    assert str(progress.root) == "vllm: error: unrecognized arguments: --no-such-flag"


HANGS = (
    "(EngineCore pid=191) INFO 11-21 03:{:02}:53 [shm_broadcast.py:871] No available shared memory"
    " broadcast block found in 60 seconds. This typically happens when some processes are hanging\n"
)


def news(*texts: str) -> int:
    """How many of these lines are news."""
    progress = Progress()
    for text in texts:
        progress.feed(text)
    return progress.news


def test_a_repeated_line_is_no_news() -> None:
    assert news(*(HANGS.format(minute) for minute in range(60))) == 1
    ids = ("0f3c9a17e2", "c1d2e3f4a5b6", "deadbeef01")
    assert news(*(f"INFO lost actor {name} on 192.168.100.1{len(name)}\n" for name in ids)) == 1


@pytest.mark.parametrize(
    "bar",
    [
        "Loading safetensors checkpoint shards:  {0}% Completed | {0}/100 [00:{0}<?, ?it/s]\r",
        "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): {0}/100 [00:0{0}<00:01]\r",
        "[Autotuner]: Tuning fp4_gemm:  {0}%|       | [00:0{0}<00:01, 7.1it/s]\r",
        "model-00001-of-00026.safetensors:  {0}%|#   | 590M/4.98G [00:1{0}<01:20, 55MB/s]\r",
    ],
)
def test_a_bar_that_moves_is_news(bar: str) -> None:
    assert news(*(bar.format(n) for n in range(1, 21))) == 20
    assert news(*(bar.format(7) for _ in range(20))) == 1


def test_each_step_of_a_real_start_is_news() -> None:
    news, progress, known = [], Progress(), 0
    for line in (LOGS / "serve-tp2.log").read_text().splitlines(keepends=True):
        if progress.feed(line):
            news.append(progress.news > known)
        known = progress.news
    assert news
    assert all(news)


def test_memory_is_bounded_and_a_repeated_line_is_not_forgotten() -> None:
    progress = Progress()
    names = ("".join(letters) for letters in itertools.product("abcdghijkl", repeat=5))
    for name in itertools.islice(names, 30_000):
        progress.feed(f"INFO {name}\n")
        progress.feed(HANGS.format(1))
    assert progress.news == 30_001
    assert len(progress.lines) < 30_000
    assert len(progress._known) < 10_000
    assert len(progress.tail) == 60


def test_an_error_that_did_not_stop_the_start_is_no_cause_of_a_later_failure() -> None:
    progress = Progress()
    progress.feed("ImportError: no optional thing\n" + GOOD)
    assert progress.ready
    assert progress.root is None
    progress.feed("ERROR [core.py] torch.AcceleratorError: CUDA error: no kernel image\n")
    assert str(progress.root) == "torch.AcceleratorError: CUDA error: no kernel image"


def test_a_line_that_quotes_an_error_is_no_cause() -> None:
    progress = Progress()
    progress.feed("INFO 11-21 [x.py:1] retrying after OSError: busy\nINFO:     ValueError: x\n")
    assert progress.root is None
    progress.feed("RuntimeError: NCCL error: (run with NCCL_DEBUG=INFO for details)\n")
    assert str(progress.root) == "RuntimeError: NCCL error: (run with NCCL_DEBUG=INFO for details)"

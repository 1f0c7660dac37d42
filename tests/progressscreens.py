"""`python -m tests.progressscreens SCENE`: the real progress over fixed data, by a fixed clock.

A scene that ends in the middle of a step leaves its rows on the screen.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, fail
from sparkctl.doctor.preflight import refuse
from sparkctl.doctor.remedy import Remedy
from sparkctl.engines.sglang.stages import STAGES as SGLANG
from sparkctl.engines.vllm.stages import STAGES as VLLM
from sparkctl.errors import PreflightError, ServingError
from sparkctl.events import Doing, Wait
from sparkctl.operations.up import ApiKey, Endpoint, UpReport
from sparkctl.output.failure import show
from sparkctl.output.progress.live import TerminalReporter
from sparkctl.output.up import print_report

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "MiniMaxAI/MiniMax-M2"
URL = "http://192.168.1.11:30000/v1"
INVENTORY = "clusters/the second rack/spark pair.yaml"
READ = "sparkctl doctor --log sparks-1122.spark-1.vllm.log"
IMAGE = "ghcr.example/spark/vllm-openai-nvfp4:v0.32.0-cu130"

STAGES = {"vllm": VLLM, "sglang": SGLANG}


class Run:
    """A reporter and its clock, whose first second is 100."""

    def __init__(self) -> None:
        self.at = 100.0
        self.reporter = TerminalReporter(lambda: self.at)
        self.waits: list[Wait] = []
        self.reporter.watch(lambda: self.waits)

    def step(self, title: str, seconds: float = 0.0) -> None:
        self.reporter.step(title)
        self.at += seconds

    def begun(self) -> None:
        """What each start begins with."""
        self.step("connect to the nodes", 0.4)
        self.step("read the nodes' facts", 1.2)
        self.step("check the nodes", 3.1)
        self.step("write the environment", 0.3)
        self.step("start Ray head, Ray workers", 6.8)
        self.step("wait for Ray's node table", 2.0)
        self.step("start vLLM", 0.7)


def stage(engine: str, name: str, percent: int | None = None) -> Doing:
    """A stage with the words of the engine's own table."""
    found = next(each for each in STAGES[engine] if each.id == name)
    return Doing(found.title, percent, usual=found.usual)


def up(run: Run) -> None:
    """A start that serves."""
    run.begun()
    run.step("wait for vLLM", 800.0)
    run.reporter.note("warning: Ray does not show on which nodes the ranks run")
    run.step("note what runs", 0.2)
    run.reporter.end()
    services = {"vllm": Endpoint(URL, MODEL, ApiKey("VLLM_API_KEY", "env.set"))}
    report = UpReport("sparks", services, ("start vLLM on spark-1",), total=run.at - 100.0)
    print_report(report, Path(INVENTORY), as_json=False)


def failed(run: Run) -> None:
    """A start that fails and is rolled back."""
    run.begun()
    run.step("wait for vLLM", 75.0)
    run.reporter.end("failed")
    run.reporter.note(
        "vLLM's log is kept in ~/.local/state/sparkctl/sparks-1122.spark-1.vllm.log;"
        " read it with `sparkctl doctor --log`"
    )
    run.step("roll back: stop vLLM on spark-1", 4.0)
    run.step("roll back: stop Ray on spark-2", 2.5)
    run.reporter.end("interrupted")
    run.reporter.note("Rollback interrupted. Run `sparkctl down` to clean up.")
    show(
        ServingError(
            "vLLM exited with status 1 while loading the model: torch.cuda.OutOfMemoryError: CUDA"
            " out of memory, 117.2 of 119.7 GiB are in use",
            node="spark-1",
            hint=f"lower vllm.gpu_memory_utilization, or see the whole log: `{READ}`",
            log_tail=["INFO Starting to load model /m", "ERROR OutOfMemoryError"],
        ),
        as_json=False,
    )


def refused(run: Run) -> None:
    """A start that a check refuses; its remedies are below what they are for."""
    run.step("check the nodes", 3.1)
    run.reporter.end("failed")
    failures = [
        fail(
            f"{port} has MTU 1500, and its peer on spark-1 takes packets of 9000 bytes",
            Evidence("9000", "1500", "ip link"),
            Remedy(f"set fabric.mtu, or run `{command}` on the node"),
            node=node,
            code="mtu-differs",
        ).of("fabric.mtu", "node", node)
        for node, port, command in (
            ("spark-2", "enp1s0f0np0", "sudo ip link set enp1s0f0np0 mtu 9000"),
            ("spark-in-the-second-rack-node-3", "enP2p1s0f0np0", "sudo netplan apply"),
        )
    ]
    try:
        refuse(failures)
    except PreflightError as error:
        show(error, as_json=False)


def loading(run: Run) -> None:
    """A start on four nodes, of which two are slow."""
    run.step("connect to the nodes", 0.4)
    run.step("wait for SGLang rank 0, SGLang rank 1, SGLang rank 2, SGLang rank 3", 65.0)
    run.reporter.stage(stage("sglang", "loading", 42))
    run.waits = [
        Wait("start SGLang rank 3", "spark-4", run.at - 12),
        Wait("read the node's facts", "spark-2", run.at - 3),
        Wait("read the node's facts", "spark-3", run.at - 0.5),
    ]
    left(run)


def compiling(run: Run) -> None:
    """The first boot of vLLM."""
    run.begun()
    run.step("wait for vLLM", 724.0)
    run.reporter.stage(stage("vllm", "compiling"))
    left(run)


def services(run: Run) -> None:
    """Two services that start, and a node that is lost meanwhile."""
    run.step("connect to the nodes", 0.4)
    run.step("wait for vLLM of large; vLLM of embeddings")
    run.reporter.part("large", stage("vllm", "loading", 42))
    run.at += 65.0
    run.reporter.part("embeddings", stage("vllm", "compiling"))
    run.at += 9.0
    run.waits = [Wait("connecting", "spark-3", run.at - 4)]
    left(run)


def image(run: Run) -> None:
    """A copy of an image to two nodes."""
    run.step(f"copy {IMAGE} from spark-1 to spark-2, spark-3, spark-with-a-long-name-4 (18 GB)")
    run.reporter.part("spark-2", Doing("copying"))
    run.reporter.part("spark-with-a-long-name-4", Doing("copying"))
    run.at += 17.0
    run.reporter.part("spark-2", Doing("copying", 17, detail="190 MB/s, 3.2 of 18.4 GB, 80 s left"))
    run.reporter.part("spark-with-a-long-name-4", Doing("loading"))
    run.reporter.ended("spark-3", "copied 18.4 GB")
    left(run)


def left(run: Run) -> None:
    """Leave its rows on the screen."""
    assert run.reporter._area
    run.reporter._area.stop(keep=True)


SCENES: dict[str, Callable[[Run], None]] = {
    each.__name__: each for each in (up, failed, refused, loading, compiling, services, image)
}

if __name__ == "__main__":
    SCENES[sys.argv[1]](Run())

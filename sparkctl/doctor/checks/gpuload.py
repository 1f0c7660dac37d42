"""The GPU under load: its clock, and the power that real work draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, Finding, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.starting import under_way
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.facts.hostgroups import Gpu

LOAD = 80.0  # % of utilization; below it the clock may be low because there is little to do
# MHz: Sparks on a power supply that negotiated too little stay at 500 to 850 MHz (reports of DGX
# Spark users); a GB10 reaches 3003, and 2000 with a usual cap (`nvidia-smi -lgc`).
LOW_CLOCK = 1000.0
LOW_SHARE = 0.5  # of the highest clock: a GPU whose clocks are all low is not slow
HOT = 85.0  # °C, where a GPU lowers its clock to protect itself
# A GB10 that computes draws 45 to 90 W; one that spins in a dead collective under 30 W at a
# utilization of 95 % (reports of DGX Spark users, vllm-project/vllm issue 46097).
# That is at the usual clocks: a cap on purpose (`nvidia-smi -lgc`) lowers the power of real work.
GB10, SPINNING, IDLE_POWER, USUAL_CLOCK = "GB10", 90.0, 30.0, 1900.0
# Why the clock is not higher, by bits (nvml.h, nvmlClocksEventReason*).
SET = 0x2
REASONS = {
    SET: "a clock that was set",
    0x4: "the power cap",
    0x8: "hardware slowdown",
    0x20: "heat",
    0x40: "heat (hardware)",
    0x80: "power brake (hardware)",
}
HEAT = 0x20 | 0x40
UNLISTED = "nvidia-smi lists no GPU, see host.gpu"
WHERE = "nvidia-smi --query-gpu=clocks.sm,clocks.max.sm,utilization.gpu,power.draw,temperature.gpu"


def clocks(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """A GPU under load has its clock, and draws the power of real work."""
    gpus = known(snapshot.facts(name).gpu).gpus
    if gpus is None:
        yield unknown(UNLISTED)
        return
    for index, gpu in enumerate(gpus):
        which = f"GPU {index}" if gpus[1:] else "the GPU"
        if _spins(gpu) and _starting(snapshot, name):
            waits = f"waits for other ranks, as {snapshot.engine.title} is starting"
            text = f"{which} {waits}: {_figures(gpu)}"
            yield info(text, code="starting", data={"gpu": index})
        else:
            yield _judged(gpu, which, {"gpu": index})


def _starting(snapshot: Snapshot, name: str) -> bool:
    """Whether a rank may wait for one that still loads: nothing listens until it is ready."""
    if not snapshot.serves(name):
        return False
    if under_way(snapshot):
        return True
    inventory = snapshot.inventory
    listeners = known(snapshot.facts(inventory.head.name).ports)
    own = (o.port for o in listeners if o.cluster == inventory.cluster)
    return inventory.vllm.port not in own


def _judged(gpu: Gpu, which: str, place: Data) -> Finding:
    data: Data = {**place, "clock": gpu.clock, "utilization": gpu.utilization}
    if gpu.clock is None or gpu.utilization is None:
        return unknown(f"nvidia-smi reports no SM clock or no utilization of {which}", data=data)
    if gpu.utilization < LOAD:
        text = f"{gpu.clock:.0f} MHz, {gpu.utilization:.0f} % busy; the clock is judged under load"
        return info(text, code="no-load", data=data)
    data = {**data, "power": gpu.power, "temperature": gpu.temperature}
    if _is_low(gpu.clock, gpu.clock_max):
        return _low(gpu, which, data)
    if _spins(gpu):
        return _without_work(gpu, which, data)
    return ok(_figures(gpu), data=data)


def _is_low(clock: float, highest: float | None) -> bool:
    return clock < LOW_CLOCK and (highest is None or clock < LOW_SHARE * highest)


def _spins(gpu: Gpu) -> bool:
    if gpu.clock is None or gpu.utilization is None or gpu.power is None:
        return False
    comparable = GB10 in gpu.name and gpu.clock >= USUAL_CLOCK
    return comparable and gpu.utilization >= SPINNING and gpu.power < IDLE_POWER


def _figures(gpu: Gpu) -> str:
    """The readings, such as `2400 MHz, 96 % busy, 61 W, 70 °C`."""
    values = (
        (gpu.clock, "MHz"),
        (gpu.utilization, "% busy"),
        (gpu.power, "W"),
        (gpu.temperature, "°C"),
    )
    return ", ".join(f"{value:.0f} {unit}" for value, unit in values if value is not None)


def _low(gpu: Gpu, which: str, data: Data) -> Finding:
    bits = gpu.reasons or 0
    reasons = [text for bit, text in REASONS.items() if bits & bit]
    hot = bool(bits & HEAT) or (gpu.temperature is not None and gpu.temperature >= HOT)
    got = _figures(gpu) + (f"; limited by {', '.join(reasons)}" if reasons else "")
    return warn(
        f"the clock of {which} is low under load: {_figures(gpu)}",
        Evidence(f"{LOW_CLOCK:.0f} MHz or more under load", got, WHERE),
        _cure(bits, hot=hot),
        code="low-clocks",
        data={**data, "hot": hot, "reasons": reasons},
    )


def _cure(bits: int, *, hot: bool) -> Remedy:
    show = "nvidia-smi -q -d CLOCK,PERFORMANCE,POWER"
    if hot:
        return Remedy("cool it: the GPU lowers its clock at this temperature", (show,))
    if bits & SET:
        lift = ("sudo nvidia-smi --reset-gpu-clocks", "sudo nvidia-smi --reset-applications-clocks")
        return Remedy("someone set a lower clock: lift it unless that was on purpose", lift)
    return Remedy(
        "shut the node down, unplug the power supply at both ends (wall and node) for some"
        " minutes, and plug it in again: it negotiated too little power. Use the supply that came"
        " with the node. `nvidia-smi -q -d CLOCK,PERFORMANCE` shows a cap that was set on purpose",
        (show,),
    )


def _without_work(gpu: Gpu, which: str, data: Data) -> Finding:
    return warn(
        f"{which} is busy without the power of real work: {_figures(gpu)}",
        Evidence(f"{IDLE_POWER:.0f} W or more at such a utilization", _figures(gpu), WHERE),
        Remedy(
            "the ranks may spin in a collective that a dead rank has left: see whether tokens are"
            " generated, and restart the cluster if none are",
            ("sparkctl status --deep",),
        ),
        code="spinning",
        data=data,
    )

"""An engine's health, from successive looks at its /metrics during a request; pure.

`generating`  a completion returned tokens
`busy`        engine steps end, and this request is waiting
`wedged`      no engine step ended for a time during the request
`failing`     the request failed, or its answer is an error, has no token or an unknown shape
`silent`      the API refused the connection, or /version or /v1/models timed out
`unclear`     the request timed out, and the metrics do not show why

vLLM writes all values of SIGNS when an engine step ends (v1/metrics/loggers.py and
v1/core/sched/scheduler.py of 0.32, read). While it reads a prompt in chunks it counts neither
tokens nor iterations: only the usage of the KV cache grows. A request that reaches a wedged engine
is in none of them.

SGLang, with --enable-metrics, counts the tokens of each step as it ends, by `mode`; its other
values follow later (0.5.23, managers/scheduler_components/metrics_reporter.py, read and run).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.wire import Json

    Health = dict[str, str | float | None]

SIGNS = (
    "num_requests_running",
    "num_requests_waiting",
    "generation_tokens_total",
    "prompt_tokens_total",
    "iteration_tokens_total_count",
    "kv_cache_usage_perc",
    "gpu_cache_usage_perc",  # its name before vLLM 0.12
)
# SGLang's names for the same.
ALIKE = {
    "num_running_reqs": "num_requests_running",
    "num_queue_reqs": "num_requests_waiting",
    "token_usage": "kv_cache_usage_perc",
}
COUNTED, DECODED = "realtime_tokens_total", 'mode="decode"'
Look = dict[str, float]


def parse(text: str) -> Look | None:
    """The values of SIGNS in Prometheus' text, each summed over its label sets.

    None if there are none: with --disable-log-stats vLLM counts nothing, and SGLang nothing without
    --enable-metrics.
    """
    found: Look = {}
    for line in text.splitlines():
        name = _sign(line)
        if name is None:
            continue
        # Braces and blanks may occur in a label, but not after the last brace.
        value = _number(line.rpartition("}")[2] if "{" in line else line.partition(" ")[2])
        if value is not None:
            found[name] = found.get(name, 0.0) + value
    return found or None


def _sign(line: str) -> str | None:
    """The one of SIGNS that a line has; None for any other line."""
    engine, _, rest = line.partition(":")
    name = rest.partition("{")[0].partition(" ")[0]
    if engine == "sglang" and name == COUNTED:
        return "generation_tokens_total" if DECODED in rest else "prompt_tokens_total"
    if engine == "sglang":
        return ALIKE.get(name)
    return name if engine == "vllm" and name in SIGNS else None


def _number(text: str) -> float | None:
    try:
        value = float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return None
    return value if math.isfinite(value) else None


class Watch:
    """Looks at one engine during a request; all times are seconds of one clock.

    Without the end of a step for `still` it is wedged; with steps that end the request has
    `patience`. `first` is for the first request after a start: only generated tokens prove that it
    will be answered.
    """

    def __init__(self, start: float, *, still: float, patience: float, first: bool = False) -> None:
        self.start, self.still, self.patience, self.proof = start, still, patience, first
        self.first: Look | None = None
        self.last: Look | None = None
        self.began = self.moved = self.seen = start
        self._moves = False

    def look(self, now: float, found: Look | None) -> None:
        """Add a look; one that failed (None) counts neither as a step nor as stillness."""
        self._moves = False
        if found is None:
            return
        if self.first is None or self.last is None:
            self.first, self.began, self.moved = found, now, now
        elif found != self.last:
            self.moved, self._moves = now, True
        self.last, self.seen = found, now

    def state(self) -> str | None:
        """`busy` or `wedged` as of the last look; None while undecided."""
        if self._moves and self.seen - self.start >= self.patience:
            return "busy" if self._tokens() or not self.proof else None
        return "wedged" if self.last and self.seen - self.moved >= self.still else None

    def health(self, state: str) -> Health:
        """The state with its evidence; null for what the metrics do not show.

        `running` and `waiting` requests, generated `tokens_per_second` over all looks, and
        `still_for`: seconds since an engine step ended.
        """
        seconds = self.seen - self.began
        return {
            "state": state,
            "running": self._count("num_requests_running"),
            "waiting": self._count("num_requests_waiting"),
            "tokens_per_second": round(self._tokens() / seconds, 1) if seconds else None,
            "still_for": round(self.seen - self.moved, 1) if self.last else None,
        }

    def _tokens(self) -> float:
        name = "generation_tokens_total"
        return max(0.0, (self.last or {}).get(name, 0.0) - (self.first or {}).get(name, 0.0))

    def _count(self, name: str) -> int | None:
        return int(self.last[name]) if self.last and name in self.last else None


def describe(health: Mapping[str, Json]) -> str:
    """The state with its figures, as `busy: 64 running, 136 waiting, 420 tokens/s`."""
    shown = figures(health)
    return f"{health['state']}: {shown}" if shown else str(health["state"])


def figures(health: Mapping[str, Json]) -> str:
    """The known figures of a health, in words."""
    known = {key: value for key, value in health.items() if value is not None}
    found = [f"{known[key]} {key}" for key in ("running", "waiting") if key in known]
    if known["state"] == "wedged":
        found.append(f"no engine step ended for {known['still_for']:g} s while a completion waited")
    elif "tokens_per_second" in known:
        found.append(f"{known['tokens_per_second']:g} tokens/s")
    return ", ".join(found)

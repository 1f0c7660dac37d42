"""MiniMax-M2's norm of q and k by torch: SGLang 0.5.23 has it for GPUs and for AMX alone."""

from __future__ import annotations

# As in ../vllm: only the lab's runtime has torch and sglang.
import torch
from sglang.srt.plugins.hook_registry import HookRegistry, HookType

MODEL = "sglang.srt.models.minimax_m2"


def register() -> None:
    """Replace both functions before the model is made; SGLang calls this in each process."""
    HookRegistry.register(f"{MODEL}.rms_sumsq_serial", sums, HookType.REPLACE)
    HookRegistry.register(f"{MODEL}.rms_apply_serial", apply, HookType.REPLACE)


def sums(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """The sum of squares of each row of q, then of k."""
    return torch.cat([x.float().square().sum(-1) for x in (q, k)])


def apply(  # noqa: PLR0917  # as SGLang calls it
    q: torch.Tensor,
    k: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    squares: torch.Tensor,
    ranks: int = 1,
    eps: float = 1e-5,
) -> tuple[torch.Tensor, ...]:
    """Both normalised by the sums of all ranks, and weighted."""
    rows = squares.view(2, -1, 1)
    return tuple(
        (x.float() * torch.rsqrt(row / x.shape[1] / ranks + eps) * weight.float()).to(x.dtype)
        for x, weight, row in ((q, q_weight, rows[0]), (k, k_weight, rows[1]))
    )

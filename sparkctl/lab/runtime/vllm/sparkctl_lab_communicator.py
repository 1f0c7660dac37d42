"""A communicator between CPU ranks over the network, as two nodes need it."""

from __future__ import annotations

# As in sparkctl_lab_platform: only the lab's runtime has vllm.
from vllm.distributed.device_communicators.cpu_communicator import (
    CpuCommunicator,
)


class NetworkCpuCommunicator(CpuCommunicator):  # type: ignore[misc]  # Any: no vllm here
    """vLLM's CPU communicator without shared memory, so that it uses gloo over the fabric.

    vLLM 0.32 concludes from equal names of shared memory that ranks are on one machine. All ranks
    of a tensor-parallel group have equal names; across nodes it fails with `open shm in
    SHMManager`.
    """

    def _all_group_ranks_share_shm_group_name(self) -> bool:
        return False

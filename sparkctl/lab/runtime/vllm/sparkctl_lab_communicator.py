"""A communicator between CPU ranks that goes over the network, as between two nodes it must."""

from __future__ import annotations

# As in sparkctl_lab_platform: only the lab's runtime has vllm.
from vllm.distributed.device_communicators.cpu_communicator import (
    CpuCommunicator,
)


class NetworkCpuCommunicator(CpuCommunicator):  # type: ignore[misc]  # Any, for want of the import
    """vLLM's CPU communicator without its shared memory, so that gloo over the fabric is used.

    vLLM 0.32 takes equal names for shared memory as proof of one machine, although ranks of one
    tensor-parallel group have equal names on any; it then fails with `open shm in SHMManager`.
    """

    def _all_group_ranks_share_shm_group_name(self) -> bool:
        return False

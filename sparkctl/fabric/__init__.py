"""What we know of RoCE and NCCL: facts in, answers out, no I/O."""

"""A verdict on NCCL's log: which transport each rank uses, why, and how to fix it; pure."""

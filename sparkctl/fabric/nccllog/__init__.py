"""NCCL's log as a verdict: which transport each rank uses, why, and what cures it; pure."""

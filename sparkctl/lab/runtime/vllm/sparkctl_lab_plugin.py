"""The entry point by which vLLM finds the platform class to use."""

from __future__ import annotations


def register() -> str:
    """The name of the platform class, which vLLM imports once it has chosen."""
    return "sparkctl_lab_platform.RayCpuPlatform"

"""What vLLM loads by the entry point: the name of the platform class that it shall use."""

from __future__ import annotations


def register() -> str:
    """The platform class, by name: vLLM imports it once it has chosen."""
    return "sparkctl_lab_platform.RayCpuPlatform"

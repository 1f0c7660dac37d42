"""Run large models across NVIDIA DGX Spark (GB10) nodes with vLLM or SGLang."""

__version__ = "0.1.0"

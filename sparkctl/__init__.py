"""Run large models across NVIDIA DGX Spark (GB10) nodes with Ray and vLLM."""

__version__ = "0.1.0"

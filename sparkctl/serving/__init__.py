"""Rules of vLLM and Ray: inventory in, command lines and environments out; no I/O."""

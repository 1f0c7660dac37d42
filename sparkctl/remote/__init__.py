"""Reaching nodes: commands as values, SSH, results, fan-out."""

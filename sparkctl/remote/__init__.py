"""Access to nodes: commands as values, SSH, results, fan-out."""

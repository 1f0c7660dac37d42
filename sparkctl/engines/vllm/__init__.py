"""vLLM on GB10: command lines, environment, recipes, stages of a start, known failures; pure."""

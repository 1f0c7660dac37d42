"""SGLang: command lines, recipes, and what its log shows of a start; pure."""

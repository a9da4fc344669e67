"""A deterministic simulated network that tests network code against what networks do to it."""

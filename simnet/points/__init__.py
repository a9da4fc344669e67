"""Where a fault could have acted, read from the trace of a run."""

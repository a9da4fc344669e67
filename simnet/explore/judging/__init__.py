"""What happened in a run, to whom, and whether that is a failure."""

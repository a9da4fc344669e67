"""What a plan does to hosts and links at its time, and what a crash takes with it."""

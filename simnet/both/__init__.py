"""What simulated and real networks share."""

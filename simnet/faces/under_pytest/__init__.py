"""What the pytest plugin does."""

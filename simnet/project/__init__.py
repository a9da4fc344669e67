"""A project's settings, the names of its tests, and its files."""

"""Connections within a host that are counted as Linux counts, where a program could see the difference."""

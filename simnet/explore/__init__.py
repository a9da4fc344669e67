"""What follows from many runs: every single fault at every point, the verdict on each, the smallest plan, the report.

Import from the rooms: ``from simnet.explore.sweep import run_sweep``. Rooms are named for what they do, so their
functions have their names, and would hide them here.
"""

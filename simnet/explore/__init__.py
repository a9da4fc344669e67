"""What follows from many runs: every single fault at every point, the verdict on each, the smallest plan, the report.

Import from the modules: ``from simnet.explore.sweep import run_sweep``. Modules are named after what they do, as their
functions are, and would be hidden by them here.
"""

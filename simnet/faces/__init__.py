"""What users meet: the commands of ``simnet`` and what the pytest plugin does, one module each.

Nothing below imports from here. ``cli.py`` and ``pytest_plugin.py`` import a module when it is used.
"""

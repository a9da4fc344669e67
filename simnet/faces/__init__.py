"""What people meet: the commands of ``simnet`` and the hands of the pytest plugin, one room each.

Nothing below imports from here. ``cli.py`` and ``pytest_plugin.py`` import a room when it is asked for.
"""

"""Of a story only its scenarios are tests here: its program is kept with its bugs, and sweeping it would find them."""

collect_ignore_glob = ["*/test_*.py"]

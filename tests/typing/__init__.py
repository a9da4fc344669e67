"""Read by mypy (`make check`), run by nobody: do the joints fit, and are the public names of the types they are said to be?"""

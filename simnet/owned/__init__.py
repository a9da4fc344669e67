"""What belongs to one process: its state, its globals, its loops and threads, its locks, and what it still says at its end."""

"""Published programs that import asyncore or asynchat, unmodified, on the drop-in."""

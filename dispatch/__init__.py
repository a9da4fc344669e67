"""An event loop in the line of asyncore and asynchat, on an abstract socket interface."""

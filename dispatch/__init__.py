"""An event loop in the line of asyncore and asynchat, on an abstract socket interface."""

from dispatch.dispatcher import Dispatcher
from dispatch.listener import Listener
from dispatch.loop import Loop, current_loop
from dispatch.stream import Stream

__all__ = ["Dispatcher", "Listener", "Loop", "Stream", "current_loop"]

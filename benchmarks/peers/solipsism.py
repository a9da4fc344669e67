"""async-solipsism, an asyncio loop whose sockets and clock are simulated."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import async_solipsism

HOST = "server.invalid"


def run(program: Coroutine[Any, Any, Any]) -> Any:
    """What *program* returns, on a loop of its own."""
    loop = async_solipsism.EventLoop()
    try:
        return loop.run_until_complete(program)
    finally:
        loop.close()

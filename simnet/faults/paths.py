r"""How the name of a Unix socket is spelled within a place: a path, an abstract name, or the pair that has none.

===================  ===============================================================================================
``/run/app.sock``    a path, as the socket is bound to it; one that is relative begins with ``./``
``@app``             an abstract name, of the bytes after its NUL
``socketpair``       the two ends of a ``socketpair()``
===================  ===============================================================================================

A star within a name stands for any part of it: ``*/app.sock`` is a socket of that name in any folder.

A place is one word in which ``:``, ``#``, ``=``, ``*`` and the arrow mean something. So what is no letter, digit or one of
``/ . _ - + , ~ @ %`` is written by its bytes, ``\xNN``: ``/run/my\x20app.sock``. Each name has one spelling.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["PAIR", "SPELT", "fits", "misspelt", "spelt", "starred"]

PAIR: Final = "socketpair"

PLAIN: Final = "/._-+,~@%"
NAMES: Final = ("utf-8", "surrogateescape")  # as Python reads the names of files
SPELT: Final = re.compile(rf"{PAIR}|(?:\.{{0,2}}/|@|\*/)(?:[*\w{re.escape(PLAIN)}]|\\x[0-9A-Fa-f]{{2}})*")

_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def spelt(name: str | bytes) -> str:
    """The spelling of *name*: a path, or bytes that begin with NUL."""
    if isinstance(name, bytes):
        return _written("@" + name[1:].decode(*NAMES))
    return _written(name if name.startswith(("/", "./", "../")) else f"./{name}")


def misspelt(text: str) -> str:
    """How *text*, which `SPELT` matches, is really spelt; empty if it is so already."""
    if text == PAIR:
        return ""
    right = "*".join(map(_respelt, text.split("*")))
    return "" if right == text else right


def fits(pattern: str, name: str) -> bool:
    """Whether *name*, which is spelt without a star, falls under *pattern*."""
    if "*" not in pattern or name == PAIR:
        return pattern == name
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def starred(name: str) -> str:
    """A pattern for the last part of *name*, in whatever folder it is."""
    return f"*/{name.rpartition('/')[2]}"


def _respelt(text: str) -> str:
    raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), text.encode(*NAMES))
    return _written(raw.decode(*NAMES))


def _written(name: str) -> str:
    return "".join(each if each.isalnum() or each in PLAIN or each == "_" else _escaped(each) for each in name)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(*NAMES))

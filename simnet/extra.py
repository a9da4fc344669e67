"""What simnet needs and dispatch does not, the extra ``[simnet]``, and the message if it is missing."""

from __future__ import annotations

__all__ = ["missing"]

REQUIRED = ("click", "greenlet", "hypothesis", "msgspec", "pytest", "rich", "tomlkit")  # as in pyproject.toml


def missing(error: ModuleNotFoundError) -> str | None:
    """What to do about *error*; None if it is about another module than those that the extra brings."""
    if (error.name or "").partition(".")[0] not in REQUIRED:
        return None
    return f'{error.msg}: simnet needs more than dispatch does. Install it with: pip install "simnet-dispatch[simnet]"'

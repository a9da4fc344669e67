"""The entry point of ``simnet`` and ``python -m simnet``. Where only dispatch is installed, it says what to install."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command and give its exit code."""
    try:
        from simnet import cli
    except ModuleNotFoundError as error:
        from simnet.extra import missing

        text = missing(error)
        if text is None:
            raise
        sys.stderr.write(f"simnet: {text}\n")
        return 2
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

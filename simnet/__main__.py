"""``python -m simnet``: the command ``simnet``, where it is not on the path."""

import sys

from simnet.cli import main

sys.exit(main())

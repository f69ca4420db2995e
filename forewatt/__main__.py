"""`python -m forewatt`: the same as the `forewatt` command."""

import sys

from forewatt.cli import main

if __name__ == "__main__":
    sys.exit(main())

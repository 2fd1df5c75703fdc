"""Runs the command `cellar` as `python -m cellar.cli`, as its parent process starts the others."""

import sys

from cellar.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())

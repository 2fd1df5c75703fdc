"""The command `cellar`: its subcommands, and `cellar import`, which reads files of other frameworks."""

from cellar.cli.commands import main

__all__ = ["main"]

"""`cellar serve` with a promise broken on purpose: what the checker must find. Nothing outside the tests knows of it.

python -m tests.faults.sabotage blind serve
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from cellar.assembly import service as assembly
from cellar.cli import commands
from cellar.embedded.serve import serve
from cellar.ports import Change
from cellar.settings import Settings
from cellar.store.protocol.script import Script
from cellar.store.sessions.record_codec import Entry
from cellar.store.sessions.store import COMMIT, RedisSessions


def be_blind() -> None:
    """Commit without looking whether the session has moved.

    The numbers of log entries are a second fence, which the script and Redis keep: they are not looked at either.
    """
    text = COMMIT.text
    for compare in (b"if head ~= ARGV[1] then", b"if redis.call('XRANGE', key, ARGV[at + 6], '+', 'COUNT', 1)[1] then"):
        assert compare in text
        text = text.replace(compare, b"if false then")
    text = text.replace(b"redis.call", b"redis.pcall")
    assembly.__dict__["RedisSessions"] = partial(RedisSessions, commit_script=Script.of(text))


def forget_own_commits() -> None:
    """Take a commit whose reply was lost for one that was not applied."""

    def is_of(_entry: Entry, _change: Change) -> bool:
        return False

    Entry.is_of = is_of  # type: ignore[method-assign, assignment]  # the fault that the test must find


KINDS: dict[str, Callable[[], None]] = {"blind": be_blind, "forgetful": forget_own_commits}


def command(kind: str) -> list[str]:
    """Return the command that serves with this promise broken."""
    return [sys.executable, "-m", "tests.faults.sabotage", kind, "serve"]


def run(arguments: Sequence[str]) -> int:
    """Break the promise, then do what `cellar` does."""
    kind, *words = arguments
    KINDS[kind]()
    if words == ["serve"]:
        return serve(Settings.load(), command(kind)[:-1], commands.say)
    return commands.main(words)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

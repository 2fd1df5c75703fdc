"""Checks that the Redis user may run every command that the scripts call.

A script that is refused a command after it has written leaves half of a change behind, and Redis cannot roll it back.
So the rights are checked before a connection is used, and again while it is. Each command is run on a probe, a key with
a string: nearly all commands fail on its type, but Redis checks the rights of the user before the type.
"""

from cellar.store.protocol.resp import Command, Reply, ReplyError, items, raw
from cellar.store.protocol.script import load_script

RIGHTS = load_script("rights")

COMMANDS: tuple[tuple[bytes, ...], ...] = (
    (b"SET", b"$", b"", b"PX", b"1000"),
    (b"DECRBY", b"$", b"1"),
    (b"EXISTS", b"$"),
    (b"EXPIRE", b"$", b"1"),
    (b"GET", b"$"),
    (b"HDEL", b"$", b"f"),
    (b"HEXISTS", b"$", b"f"),
    (b"HGET", b"$", b"f"),
    (b"HGETALL", b"$"),
    (b"HINCRBY", b"$", b"f", b"1"),
    (b"HKEYS", b"$"),
    (b"HLEN", b"$"),
    (b"HMGET", b"$", b"f"),
    (b"HSET", b"$", b"f", b""),
    (b"HSETNX", b"$", b"f", b""),
    (b"INCRBY", b"$", b"1"),
    (b"PERSIST", b"$"),
    (b"PEXPIRE", b"$", b"1000"),
    (b"PTTL", b"$"),
    (b"SADD", b"$", b"m"),
    (b"SETRANGE", b"$", b"0", b"0"),
    (b"SREM", b"$", b"m"),
    (b"TIME",),
    (b"XADD", b"$", b"*", b"f", b""),
    (b"XRANGE", b"$", b"-", b"+"),
    (b"ZADD", b"$", b"0", b"m"),
    (b"ZRANGE", b"$", b"0", b"0"),
    (b"ZRANGEBYSCORE", b"$", b"0", b"0"),
    (b"ZREM", b"$", b"m"),
    (b"ZSCORE", b"$", b"m"),
    (b"DEL", b"$"),
    (b"UNLINK", b"$"),
)
"""The commands, with `$` for the probe. A test compares them with the scripts."""

ARGUMENTS = [word for command in COMMANDS for word in (b"%d" % (len(command) - 1), *command)]
"""The commands as arguments of the script: for each the number of its arguments, then name and arguments."""


def ask(probe: bytes) -> Command:
    """Return the command that checks the rights; the server must have loaded the script. `probe` is a key."""
    return RIGHTS.call([probe], *ARGUMENTS)


def missing(reply: Reply) -> str | None:
    """Return a text that names the missing rights, from the reply to `ask`; None if none is known to be missing."""
    if isinstance(reply, ReplyError):
        allow = "allow EVALSHA, SCRIPT LOAD and all keys of its prefix"
        denied = f"the Redis user may not run scripts on the keys of the service: {allow}"
        return denied if "NOPERM" in str(reply) else None
    names = [raw(name).decode() for name in items(reply)]
    if not names:
        return None
    return f"the Redis user may not run {', '.join(names)} on the keys of the service, and its scripts need that"

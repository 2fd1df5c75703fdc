"""What a Redis user must be allowed: every command of every script.

A script that is refused a command after it has written leaves half of a change behind, and Redis has no way back. So
the rights are asked for before a connection is used, and again while it is. Each command is tried on a probe: a string,
which nearly all of them refuse to touch, but not before Redis has looked whether the user may run them.
"""

from cellar.store.protocol.replies import items, raw
from cellar.store.protocol.resp import Command, Reply, ReplyError
from cellar.store.protocol.script import load_script

RIGHTS = load_script("rights")

COMMANDS: tuple[tuple[bytes, ...], ...] = (
    (b"SET", b"$", b"", b"PX", b"1000"),
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
    (b"PERSIST", b"$"),
    (b"PEXPIRE", b"$", b"1000"),
    (b"PTTL", b"$"),
    (b"SADD", b"$", b"m"),
    (b"TIME",),
    (b"XADD", b"$", b"*", b"f", b""),
    (b"XRANGE", b"$", b"-", b"+"),
    (b"ZADD", b"$", b"0", b"m"),
    (b"ZRANGEBYSCORE", b"$", b"0", b"0"),
    (b"ZREM", b"$", b"m"),
    (b"ZSCORE", b"$", b"m"),
    (b"DEL", b"$"),
    (b"UNLINK", b"$"),
)
"""`$` is the probe. A test holds the list against the scripts."""

ARGUMENTS = [word for command in COMMANDS for word in (b"%d" % (len(command) - 1), *command)]
"""As the script reads them."""


def ask(probe: bytes) -> Command:
    """Return the command that tells the rights; the server must know the script. `probe` is a key of the service."""
    return RIGHTS.call([probe], *ARGUMENTS)


def missing(reply: Reply) -> str | None:
    """Return what the user lacks, in words, given the reply to `ask`; None if nothing, or if that is not known."""
    if isinstance(reply, ReplyError):
        allow = "allow EVALSHA, SCRIPT LOAD and all keys of its prefix"
        denied = f"the Redis user may not run scripts on the keys of the service: {allow}"
        return denied if "NOPERM" in str(reply) else None
    names = [raw(name).decode() for name in items(reply)]
    if not names:
        return None
    return f"the Redis user may not run {', '.join(names)} on the keys of the service, and its scripts need that"

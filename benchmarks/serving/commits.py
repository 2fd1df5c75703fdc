"""Sends the commits of real steps to Redis without the service: the highest rate that the store allows.

The commit of a real step is recorded with MONITOR, so script, arguments and payload are those of the service. It is
changed so that it can be repeated: the head of the record that it expects is the one that it writes.
"""

import re
import shutil
import socket
import subprocess
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.serving import copies
from benchmarks.serving.load import Found, Job
from benchmarks.serving.processes import Process
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.stage import ORIGINAL
from cellar.ports import SessionKey
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import pack

PREFIX = "flood-floods"
"""Prefix of the names of sessions, followed by twelve digits from redis-benchmark: 24 characters in all."""

RANDOM = "__rand_int__"
"""The text that redis-benchmark replaces by twelve digits."""

APPLIED = b":0\r\n"

_MONITORED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|.)")
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_RATE = re.compile(r"([\d.]+) requests per second")


@dataclass(frozen=True, slots=True)
class CommitCall:
    """A call of the commit script for one session, with arguments that can be applied repeatedly."""

    arguments: tuple[bytes, ...]
    session: bytes
    head: bytes
    """The value that the field `h` of the record must have."""

    def of(self, session: str) -> list[bytes]:
        """Return the call for another session."""
        return [argument.replace(self.session, session.encode()) for argument in self.arguments]

    def as_text(self) -> "CommitCall":
        """Return a call of the same length whose bytes are letters, as redis-benchmark needs them."""
        arguments = tuple(each if _is_text(each) else b"x" * len(each) for each in self.arguments)
        return replace(self, arguments=arguments, head=self.head if _is_text(self.head) else b"x" * len(self.head))


def watch_commit(redis: RedisServer, step: Callable[[], object], session: str) -> CommitCall:
    """Return the commit of a session that `step` causes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(redis.socket))
        sock.sendall(b"MONITOR\r\n")
        file = sock.makefile("rb")
        assert file.readline() == b"+OK\r\n"
        step()
        line = next(line for line in file if b'"EVALSHA"' in line and session.encode() in line)
    arguments = [_ESCAPED.sub(_unescaped, quoted) for quoted in _MONITORED.findall(line)]
    head = arguments[3 + int(arguments[2])]
    arguments[arguments.index(b"h") + 1] = head
    return CommitCall(tuple(arguments), session.encode(), head)


def prepare(redis: RedisServer, call: CommitCall, count: int) -> list[str]:
    """Create `count` sessions to which the call can be applied, and return their names."""
    names = [f"{PREFIX}{number:012d}" for number in range(count)]
    keys = SessionKeys(copies.PREFIX)
    with redis.client() as client, client.pipeline(transaction=False) as pipe:
        copies.copy(client, client, ORIGINAL, names)
        for name in names:
            pipe.hset(keys.record(SessionKey(copies.TENANT, name)), "h", call.head)
        pipe.execute()
    return names


def flood(redis: RedisServer, call: CommitCall, names: list[str], seconds: float, *, transaction: bool) -> Job:
    """Return the load that sends groups with a commit of each session, as a pipeline or as a transaction."""
    commands = [call.of(name) for name in names]
    replies = APPLIED * len(names)
    if transaction:
        commands = [[b"MULTI"], *commands, [b"EXEC"]]
        replies = b"+OK\r\n" + b"+QUEUED\r\n" * len(names) + b"*%d\r\n" % len(names) + replies
    return Job((str(redis.socket),), ((pack(commands),),), seconds, speech="redis", expects=replies)


def redis_benchmark() -> str | None:
    """Return the path of redis-benchmark, None if it is not installed (Debian: redis-tools)."""
    return shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")


def run_redis_benchmark(
    redis: RedisServer, core: int, call: CommitCall, count: int, pipeline: int, ticks: int
) -> Found:
    """Run redis-benchmark with `groups` groups of commits of random sessions over one connection."""
    program = redis_benchmark()
    assert program
    where = ["-s", str(redis.socket), "-c", "1", "-P", str(pipeline), "-r", str(count), "-n", str(ticks * pipeline)]
    command = [argument.decode() for argument in call.of(PREFIX + RANDOM)]
    with Process([program, *where, "-q", *command], {core}, output=subprocess.PIPE) as process:
        said, _ = process.popen.communicate()
    rates = _RATE.findall(said)
    if not rates or process.popen.returncode:
        raise RuntimeError(f"redis-benchmark says {said[-400:]}")
    seconds = ticks * pipeline / float(rates[-1])
    return Found(ticks, seconds, array("d", [seconds / ticks]), 0.0)


def _unescaped(found: "re.Match[bytes]") -> bytes:
    letter = found[1]
    return bytes([int(letter[1:], 16)]) if letter[:1] == b"x" and len(letter) == 3 else _LETTERS.get(letter, letter)


def _is_text(data: bytes) -> bool:
    return data.isascii() and data.decode("ascii").isprintable()

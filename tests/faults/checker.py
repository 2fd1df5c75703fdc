"""Whether a session's history is what its clients were told, each acknowledged step once and in its place.

The committed order is that of the session's input log, which the commit script itself writes; everything else is
computed here, from the inputs, with nothing of the service.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import pack, unpack
from typing import cast

import redis

from tests.faults.asked import Asked, Told
from tests.faults.cell import State, replay


@dataclass(frozen=True)
class Logged:
    """A committed change: the position after it, and its inputs as float32."""

    revision: int
    position: str
    inputs: bytes

    @property
    def values(self) -> tuple[int, ...]:
        """The inputs as the whole numbers that they are."""
        return tuple(int(x) for x in unpack(f"<{len(self.inputs) // 4}f", self.inputs))


@dataclass(frozen=True)
class Evidence:
    """What is known at the end."""

    told: Sequence[tuple[str, Asked, Told]]
    applied: Sequence[Asked]
    """Those that were applied at a place that is unknown."""
    doubtful: Sequence[Asked]
    """That may be there."""
    log: Sequence[Logged]
    position: str
    """Of the session."""
    state: State
    """Of the session."""


def read_log(client: "redis.Redis", stream: str) -> list[Logged]:
    """Return the input log of a session of which nothing was done but steps: what follows its creation."""
    (_, created), *entries = cast(list[tuple[bytes, dict[bytes, bytes]]], client.xrange(stream))
    assert created[b"k"] == b"create", created
    return [Logged(int(number.split(b"-")[0]), found[b"p"].decode(), found[b"i"]) for number, found in entries]


def check(found: Evidence) -> None:
    """Fail, and say why, unless every acknowledged step is in the history once, in order, with the bits of a replay."""
    wrong = list(complaints(found))
    assert not wrong, "\n".join([f"{len(wrong)} complaints", *wrong[:20]])


def complaints(found: Evidence) -> Iterator[str]:
    """Yield what is not as it was promised."""
    yield from _of_the_chain(found)
    yield from _of_the_state(found)
    yield from _of_the_acknowledged(found)
    yield from _of_the_rest(found)
    yield from _of_the_order(found)


def _of_the_chain(found: Evidence) -> Iterator[str]:
    """Compare every position with one that is computed anew from the inputs before it."""
    epoch = found.position.split(".")[0]
    digest, step = blake2b(bytes.fromhex(epoch), digest_size=16).digest(), 0
    for number, entry in enumerate(found.log, 1):
        if entry.revision != number:
            yield f"the log has entry {entry.revision} where {number} belongs"
        for x in entry.values:
            digest, step = blake2b(digest + pack("<f", x), digest_size=16).digest(), step + 1
        if entry.position != f"{epoch}.{step}.{digest.hex()}":
            yield f"the digest chain is broken at step {step}"
    if found.position != f"{epoch}.{step}.{digest.hex()}":
        yield f"the session is not at the end of its log: {found.position}"


def _of_the_state(found: Evidence) -> Iterator[str]:
    """Compare the session's state with that of a replay."""
    *_, last = State(), *replay(x for entry in found.log for x in entry.values)
    if found.state != last:
        yield f"the session's state is not that of a replay: {found.state}, {last}"


def _of_the_acknowledged(found: Evidence) -> Iterator[str]:
    """Find every acknowledged request in the log, once, with its inputs and the outputs of a replay."""
    states = replay(x for entry in found.log for x in entry.values)
    outputs = {entry.position: b"".join(pack("<f", next(states).a) for _ in entry.values) for entry in found.log}
    inputs = {entry.position: entry.values for entry in found.log}
    seen: set[str] = set()
    for client, asked, told in found.told:
        if told.position in seen:
            yield f"two acknowledged requests are one step: {client}, {asked}, {told}"
        seen.add(told.position)
        if inputs.get(told.position) != asked.values:
            yield f"an acknowledged step is not there: {client}, {asked}, {told}"
        elif outputs[told.position] != told.outputs:
            yield f"outputs are not those of a replay: {client}, {asked}, {told}"


def _of_the_rest(found: Evidence) -> Iterator[str]:
    """Account for steps without an answer: those that are known to be there, and lost requests once at most."""
    acknowledged = {told.position for _, _, told in found.told}
    rest = Counter(entry.values for entry in found.log if entry.position not in acknowledged)
    rest.subtract(Counter(asked.values for asked in found.applied))
    yield from (f"steps said to be applied are not there: {-count} times {values}" for values, count in (-rest).items())
    rest.subtract(Counter(asked.values for asked in found.doubtful))
    yield from (f"steps of which no client was told: {count} times {values}" for values, count in (+rest).items())


def _of_the_order(found: Evidence) -> Iterator[str]:
    """Compare the order of each client's requests with that of their steps."""
    last: dict[str, int] = {}
    for client, asked, told in found.told:
        step = int(told.position.split(".")[1])
        if step <= last.get(client, 0):
            yield f"a client's steps are not in its order: {client}, {asked}, {told}"
        last[client] = step

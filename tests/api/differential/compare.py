"""Streams read by both, in pieces of every kind, and what is not alike."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.api.differential import by_h11
from tests.api.differential.by_service import Service
from tests.api.differential.readings import End, Reading
from tests.api.differential.streams import cut, mutated


@dataclass
class Difference:
    """A stream in which the service finds something else than h11, in the pieces in which it came."""

    number: int
    stream: bytes
    pieces: list[bytes]
    expected: Reading
    found: Reading

    def __str__(self) -> str:
        """Return what somebody needs to look into it."""
        lines = [f"stream {self.number} in {len(self.pieces)} pieces: {self.stream!r}"]
        for who, reading in (("h11", self.expected), ("service", self.found)):
            lines.append(f"  {who}: {reading.end.value} {reading.why}")
            lines += [f"    {one}" for one in reading.requests]
        return "\n".join(lines)


def _is_refused_early(stream: bytes, expected: Reading, found: Reading) -> bool:
    """Return whether the service refuses a line that has not ended yet, which h11 refuses once it has."""
    return expected.end is End.CUT and found.end is End.REFUSED and found.is_same(by_h11.read(stream + b"\r\n\r\n"))


async def differences(numbers: range, seed: int, patch: Any) -> Iterator[Difference]:
    """Return the differences in the streams of these numbers; the same seed has the same streams."""
    service, found = Service(patch), []
    for number in numbers:
        chance = random.Random(f"{seed} {number}")
        stream = mutated(chance)
        expected = by_h11.read(stream)
        for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))], cut(stream, chance)):
            reading = await service.read(pieces, chance)
            if not (reading.is_same(expected) or _is_refused_early(stream, expected, reading)):
                found.append(Difference(number, stream, pieces, expected, reading))
                break
    return iter(found)

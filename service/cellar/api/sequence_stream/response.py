"""The response to a long sequence, which reads the next chunk while one runs.

At most three chunks are in memory: one that runs, one that waits and one that is being received. A client that sends
slowly, or does not read the answer, does not delay others.
"""

import asyncio
import math
from collections.abc import Iterator
from itertools import chain

from starlette.types import Receive, Scope, Send

from cellar.api.errors.step_counts import count_error
from cellar.api.http.body import decode_in_thread, encode_in_thread
from cellar.api.http.full_duplex import Duplex, parts_of
from cellar.api.sequence_stream.replies import Outputs, last_line, line_of, problem_line
from cellar.api.sequence_stream.requests import Chunks, Reader
from cellar.errors import CellarError, Overloaded
from cellar.metrics.counts import COUNTS
from cellar.ports import Floats
from cellar.sessions.operations.long_sequence import Chunk, LongSequence, Ran

LONG = COUNTS.transports["long_sequence"]

CHUNKS = 3
"""Chunks that a sequence holds: one that runs, one that waits and one that is being received."""

MOST_CHUNKS = 4
"""The most chunks that are made at a time, a MiB each."""

Read = Chunk | Exception | None
"""A chunk, the error after the last chunk, or None at the end."""


class OpenSequences:
    """The long sequences that are being answered."""

    def __init__(self) -> None:
        self.exchanges: set[SequenceResponse] = set()
        self.stopping = False

    def stop(self) -> None:
        """End each sequence after its chunks so far, with an answer that says from where to continue."""
        self.stopping = True
        for exchange in self.exchanges:
            exchange.stop()


class SequenceResponse(Duplex):
    """A response that runs the steps of its request."""

    def __init__(
        self, sequence: LongSequence, reader: Reader, outputs: Outputs, media_type: str, sequences: OpenSequences
    ) -> None:
        super().__init__(media_type)
        self._sequences = sequences
        self._stopping = False
        self._sequence = sequence
        self._reader = reader
        self._outputs: Outputs = outputs
        self._chunks = Chunks(sequence.chunk, sequence.size)
        self._uncommitted = 0
        """Steps that were run and are committed at the end."""
        self._ready: asyncio.Queue[Read] = asyncio.Queue(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and run concurrently until all is done, something fails, or the service stops."""
        self._sequences.exchanges.add(self)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._sequences.exchanges.discard(self)

    def stop(self) -> None:
        """Stop reading, and end after the chunk that runs and the one that waits."""
        self._stopping = True
        self._reading.cancel()
        if self._ready.empty():
            self._ready.put_nowait(_stopped())

    async def _read(self, receive: Receive) -> None:
        held = self.memory.reservation()
        try:
            chunk_bytes = 4 * self._sequence.chunk * math.prod(self._sequence.size)
            held.extend(chunk_bytes)
            async for data, last in parts_of(receive):
                size = len(data) + self._reader.held_bytes
                steps = chain(self._reader.feed(data), self._reader.end() if last else ())
                ended = False
                while not ended:
                    async with self.memory.room_for(size if last or b"\n" in data else 0):
                        chunks, ended = await decode_in_thread(size, self._next_chunks, steps, last)
                    for chunk in chunks:
                        held.extend(CHUNKS * chunk_bytes)
                        await self._ready.put(chunk)
                self.share.resize(self._reader.held_bytes)
        except Exception as error:  # it is answered after the chunks before it
            await self._ready.put(error)
        else:
            await self._ready.put(None)
        finally:
            held.release()

    def _next_chunks(self, steps: Iterator[Floats | Chunk], last: bool) -> tuple[list[Read], bool]:
        """Return the next complete chunks or the error after them, and whether there are no more of these steps.

        Lines that name few rows of many have much larger chunks, so that not all of them are made at once.
        """
        found: list[Read] = []
        try:
            for some in steps:
                found.extend(self._chunks.add(some))
                if len(found) >= MOST_CHUNKS:
                    return found, False
        except CellarError as fault:
            return [*found, fault], True
        rest = self._chunks.rest()
        return [*found, rest] if last and len(rest.inputs) else found, True

    async def _write(self, send: Send) -> None:
        try:
            await self._run(send)
        except Exception as error:
            count_error(LONG, error)
            raise
        if self._sequence.replayed:
            LONG.replayed += 1
            LONG.replayed_steps += self._uncommitted
        else:
            LONG.committed += 1
            LONG.committed_steps += self._uncommitted

    async def _run(self, send: Send) -> None:
        if self._sequences.stopping:
            self.stop()
        while (read := await self._next()) is not None:
            if isinstance(read, Exception):
                raise read
            for ran in await self._sequence.run(read):
                await self._answer(send, ran)
        for ran in await self._sequence.end():
            await self._answer(send, ran)
        await self._send(send, last_line(self._sequence))

    async def _next(self) -> Read:
        return _stopped() if self._stopping and self._ready.empty() else await self._ready.get()

    async def _answer(self, send: Send, ran: Ran) -> None:
        if ran.replayed:
            LONG.replayed_steps += ran.steps
        elif ran.position is None:
            self._uncommitted += ran.steps
        else:
            LONG.committed_steps += ran.steps
        size = 0 if ran.outputs is None or self._outputs != "all" else ran.outputs.nbytes
        await self._send(send, await encode_in_thread(size, line_of, ran, self._outputs))

    def _problem(self, error: CellarError) -> bytes:
        COUNTS.refuse(error.slug)
        return problem_line(error, self._sequence)


def _stopped() -> Overloaded:
    return Overloaded("the service is stopping: continue from this position, or send the request again")

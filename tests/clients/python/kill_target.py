"""A client that is killed: it streams readings, continues from its state file, and writes down every answer.

python -m tests.clients.python.kill_target URL SESSION FOLDER HOW
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from cellar_client import Answer, AsyncClient, Client

GIVE_UP_S = 300.0
"""Longer than anything is away."""

AHEAD = 8

STOP = "stop"
"""A file in the folder, after which no new readings are sent."""


def reading(number: int) -> int:
    """Return the reading of a number from 1: each is equal to its predecessor half of the time."""
    return (number // 2 * 2654435761) % 1000


def readings(first: int, folder: Path) -> Iterator[list[int]]:
    """Yield readings from a number on, until the file `stop` is there."""
    while not (folder / STOP).exists():
        yield [reading(first)]
        first += 1


class Notes:
    """The answers, one line for each, which are written at once."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "answers", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, answer: Answer) -> None:
        """Write down an answer."""
        output = None if answer.output is None else int(answer.output[0])
        os.write(self._file, json.dumps([answer.number, answer.step, output]).encode() + b"\n")


def stream(url: str, session: str, folder: Path) -> None:
    """Stream with the blocking client."""
    notes = Notes(folder)
    with Client(url, give_up_s=GIVE_UP_S) as client, client.session(session).stream(state=folder / "state") as stream:
        for answer in stream.run(readings(stream.taken + 1, folder), ahead=AHEAD):
            notes.note(answer)


def step(url: str, session: str, folder: Path) -> None:
    """Send a request for each step with the blocking client."""
    notes = Notes(folder)
    with Client(url, give_up_s=GIVE_UP_S) as client:
        opened = client.session(session, state=folder / "state")
        if opened.recovered is not None:
            notes.note(opened.recovered)
        for one in readings(opened.count + 1, folder):
            notes.note(opened.step(one))


async def stream_async(url: str, session: str, folder: Path) -> None:
    """Stream with the client for asyncio."""

    async def source(first: int) -> AsyncIterator[list[int]]:
        for one in readings(first, folder):
            yield one
            await asyncio.sleep(0)

    notes = Notes(folder)
    async with AsyncClient(url, give_up_s=GIVE_UP_S) as client:
        opened = await client.session(session)
        async with opened.stream(state=folder / "state") as stream:
            async for answer in stream.run(source(stream.taken + 1), ahead=AHEAD):
                notes.note(answer)


if __name__ == "__main__":
    address, name, where, how = sys.argv[1:]
    if how == "async":
        asyncio.run(stream_async(address, name, Path(where)))
    else:
        {"stream": stream, "step": step}[how](address, name, Path(where))

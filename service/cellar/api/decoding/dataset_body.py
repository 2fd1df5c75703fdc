"""Writes the file of readings in a body to the disk while it comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from anyio.to_thread import run_sync
from starlette.requests import Request

from cellar.errors import BodyTooLarge
from cellar.memory.temporary_files import file_errors

PIECE_BYTES = 1024 * 1024
"""Bytes that are written at a time, by a thread: a disk that is slow for a moment delays no other request."""


@asynccontextmanager
async def receive_file(request: Request) -> AsyncIterator[IO[bytes]]:
    """Yield a temporary file with the body, which is deleted at the end. Raise BodyTooLarge or StoreUnavailable."""
    most_bytes = request.app.state.load.limits.max_upload_bytes
    size = 0
    with request.app.state.temporary_files.open() as file:

        def write(data: bytes) -> None:
            """Write a piece on a thread."""
            with file_errors():
                file.write(data)
                file.flush()

        held = bytearray()
        async for chunk in request.stream():
            size += len(chunk)
            if size > most_bytes:
                raise BodyTooLarge(f"the file may have {most_bytes} bytes (CELLAR_MAX_UPLOAD_BYTES)")
            held += chunk
            if len(held) >= PIECE_BYTES:
                await run_sync(write, bytes(held))
                held.clear()
        await run_sync(write, bytes(held))
        yield file

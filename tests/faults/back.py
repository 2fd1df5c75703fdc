"""The hop between a service and its Redis: commands in the form in which Redis reads them, write by write."""

import asyncio
import shutil
import tempfile
from types import TracebackType

from tests.faults.fate import Schedule
from tests.faults.hop import Hop, Pipe, say


class Back(Hop):
    """Listens on a unix socket in front of a Redis, which may go and come back."""

    def __init__(self, redis_socket: str, schedule: Schedule) -> None:
        super().__init__(schedule)
        self._redis = redis_socket
        self._directory = tempfile.mkdtemp(prefix="cellar-hop-", dir="/tmp")
        self.socket = f"{self._directory}/hop.sock"
        self.url = f"unix://{self.socket}?db=0"

    async def listen(self) -> asyncio.Server:
        """Listen on the socket."""
        return await asyncio.start_unix_server(self.accept, self.socket)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and remove the socket."""
        await super().__aexit__(kind, error, trace)
        shutil.rmtree(self._directory)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass commands on as they come; their replies come back meanwhile."""
        redis = await asyncio.open_unix_connection(self._redis)
        try:
            await Pipe(self, whole, self._elsewhere).carry((reader, writer), redis)
        finally:
            redis[1].transport.abort()

    async def _elsewhere(self, commands: bytes) -> None:
        """Have the commands carried out over a connection of their own; the replies are not read."""
        reader, writer = await asyncio.open_unix_connection(self._redis)
        try:
            await say(writer, commands)
            await reader.read(2**20)
        finally:
            writer.transport.abort()


def whole(data: bytes) -> int:
    r"""Return how many of the bytes are whole commands.

    >>> whole(b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1")
    14
    """
    end = 0
    while True:
        after = _command_end(data, end)
        if after is None:
            return end
        end = after


def _command_end(data: bytes, start: int) -> int | None:
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    assert data[start : start + 1] == b"*", data[start : start + 40]
    at = line + 2
    for _ in range(int(data[start + 1 : line])):
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        at = line + 2 + int(data[at + 1 : line]) + 2
    return at if at <= len(data) else None

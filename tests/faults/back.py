"""The hop between a service and its Redis: commands in the form in which Redis reads them, write by write."""

import asyncio
import shutil
import tempfile
from types import TracebackType

from tests.faults.fate import Fault, Schedule
from tests.faults.hop import Cut, Hop


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
        redis_reader, redis_writer = await asyncio.open_unix_connection(self._redis)
        met: list[Fault] = []
        replies = asyncio.create_task(self._replies(redis_reader, writer, met))
        requests = asyncio.create_task(self._requests(reader, redis_writer, met))
        try:
            # whichever side ends first: the other has nobody to speak to
            done, _ = await asyncio.wait((replies, requests), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (replies, requests):
                task.cancel()
            await asyncio.gather(replies, requests, return_exceptions=True)
            redis_writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, redis: asyncio.StreamWriter, met: list[Fault]) -> None:
        held = b""
        while data := await reader.read(2**20):
            held += data
            end = whole(held)
            commands, held = held[:end], held[end:]
            if commands:
                await self._pass(commands, redis, met)

    async def _pass(self, commands: bytes, redis: asyncio.StreamWriter, met: list[Fault]) -> None:
        fault = self.schedule.draw()
        if fault is Fault.LOST:
            raise Cut
        if fault is Fault.HOLD:
            await asyncio.sleep(self.schedule.pause_s())
        if fault is Fault.AGAIN:
            await self._elsewhere(commands, 0.0)
        if fault is Fault.ECHO:
            self.aside(self._elsewhere(commands, self.schedule.pause_s()))
        if fault in (Fault.MUTE, Fault.CROP, Fault.LAG):
            met.append(fault)
        redis.write(commands[: len(commands) // 2] if fault is Fault.TORN else commands)
        await redis.drain()
        if fault in (Fault.TORN, Fault.GONE):
            raise Cut

    async def _replies(self, redis: asyncio.StreamReader, back: asyncio.StreamWriter, met: list[Fault]) -> None:
        """Pass replies on; what a request met happens to whatever is replied next."""
        while data := await redis.read(2**20):
            fault = met.pop() if met else None
            if fault is Fault.MUTE:
                raise Cut
            if fault is Fault.LAG:
                await asyncio.sleep(self.schedule.pause_s())
            back.write(data[: len(data) // 2] if fault is Fault.CROP else data)
            await back.drain()
            if fault is Fault.CROP:
                raise Cut

    async def _elsewhere(self, commands: bytes, pause_s: float) -> None:
        """Have the commands carried out over a connection of their own; nobody reads the replies."""
        await asyncio.sleep(pause_s)
        reader, writer = await asyncio.open_unix_connection(self._redis)
        try:
            writer.write(commands)
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

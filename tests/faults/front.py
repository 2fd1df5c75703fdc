"""The hop between clients and a service: HTTP/1.1, request by request, and WebSockets."""

import asyncio
import re
from collections.abc import Sequence

from tests.faults.fate import Fault, Schedule
from tests.faults.hop import Cut, Ends, Hop, Pipe, say

Address = tuple[str, int]

_UPGRADED = b"HTTP/1.1 101 "
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


def address_of(url: str) -> Address:
    """Return host and port of `http://host:port`."""
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


class Front(Hop):
    """Listens in front of the first of some services; the others get what is sent twice, as behind a load balancer."""

    def __init__(self, services: Sequence[Address], schedule: Schedule) -> None:
        super().__init__(schedule)
        self._services = services
        self.url = ""

    async def listen(self) -> asyncio.Server:
        """Listen on a free port."""
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one request after the other over one connection to the service."""
        service = await asyncio.open_connection(*self._services[0])
        try:
            while not reader.at_eof():
                request = await read_message(reader)
                reply = await self._pass(request, service, writer, self.schedule.draw())
                if reply.startswith(_UPGRADED):
                    # a frame that came twice would be another message, or none: nothing is sent elsewhere any more
                    await Pipe(self).carry((reader, writer), service)
                    return
        finally:
            service[1].transport.abort()

    async def _pass(self, request: bytes, service: Ends, back: asyncio.StreamWriter, fault: Fault | None) -> bytes:
        await self._before(request, fault)
        await say(service[1], request[: len(request) // 2] if fault is Fault.TORN else request)
        if fault in (Fault.TORN, Fault.GONE):
            raise Cut
        reply = await read_message(service[0])
        if fault is Fault.MUTE:
            raise Cut
        if fault is Fault.LAG:
            await asyncio.sleep(self.schedule.pause_s())
        await say(back, reply[: len(reply) // 2] if fault is Fault.CROP else reply)
        if fault is Fault.CROP:
            raise Cut
        return reply

    async def _before(self, request: bytes, fault: Fault | None) -> None:
        """Do what happens before the request is passed on."""
        if fault is Fault.LOST:
            raise Cut
        if fault is Fault.HOLD:
            await asyncio.sleep(self.schedule.pause_s())
        if fault is Fault.AGAIN:
            await self._elsewhere(request)
        if fault is Fault.ECHO:
            self.aside(self.schedule.later, self._elsewhere, request)

    async def _elsewhere(self, request: bytes) -> None:
        """Have the request carried out over a connection of its own, to any of the services; the reply is not read."""
        reader, writer = await asyncio.open_connection(*self._services[self.schedule.either(len(self._services))])
        try:
            await say(writer, request)
            await read_message(reader)
        finally:
            writer.transport.abort()


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Return a whole request or reply. Raise IncompleteReadError where it ends early."""
    head = await reader.readuntil(b"\r\n\r\n")
    if _CHUNKED.search(head):
        return head + await _read_chunks(reader)
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while not body.endswith(b"\r\n0\r\n\r\n") and body != b"0\r\n\r\n":
        line = await reader.readuntil(b"\r\n")
        body += line + await reader.readexactly(int(line, 16) + 2)
    return body

"""What each fault does, on each hop: whether the request arrives, how often, and whether its sender is answered."""

import asyncio

import httpx
import pytest

from tests.faults.back import Back
from tests.faults.fate import Fault, Schedule
from tests.faults.front import Front, read_message
from tests.redis_process import RedisProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


class Once(Schedule):
    """One fault, and no more."""

    def __init__(self, fault: Fault | None) -> None:
        super().__init__("once", 1.0)
        self._faults = [fault]

    def draw(self) -> Fault | None:
        """Return the fault the first time."""
        return self._faults.pop() if self._faults else None


ARRIVALS: dict[Fault | None, tuple[int, bool]] = {
    None: (1, True),
    Fault.LOST: (0, False),
    Fault.TORN: (0, False),
    Fault.GONE: (1, False),
    Fault.MUTE: (1, False),
    Fault.CROP: (1, False),
    Fault.HOLD: (1, True),
    Fault.LAG: (1, True),
    Fault.AGAIN: (2, True),
    Fault.ECHO: (2, True),
}
"""How often a request arrives, and whether its sender is answered."""


class Counting:
    """A service that counts the requests that reach it whole, and answers how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = asyncio.Condition()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        try:
            while await read_message(reader):
                self.count += 1
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n" % self.count)
                async with self.changed:
                    self.changed.notify_all()
        except EOFError:
            writer.transport.abort()


@pytest.mark.parametrize(("fault", "arrivals"), ARRIVALS.items())
async def test_before_a_service(fault: Fault | None, arrivals: tuple[int, bool]) -> None:
    service = Counting()
    server = await asyncio.start_server(service.answer, "127.0.0.1", 0)
    async with Front([server.sockets[0].getsockname()], Once(fault)) as front, httpx.AsyncClient(timeout=10) as client:
        answered = True
        try:
            answer = await client.post(front.url, content=b"a body of a request")
        except httpx.TransportError:
            answered = False
        else:
            assert answer.text == ("2" if fault is Fault.AGAIN else "1")
        async with asyncio.timeout(10), service.changed:
            await service.changed.wait_for(lambda: service.count == arrivals[0])
        assert (await client.post(front.url, content=b"and another")).text == f"{arrivals[0] + 1}"
    assert answered == arrivals[1]
    server.close()


@pytest.mark.parametrize(("fault", "arrivals"), ARRIVALS.items())
async def test_before_redis(fault: Fault | None, arrivals: tuple[int, bool], redis_process: RedisProcess) -> None:
    async with Back(str(redis_process.socket), Once(fault)) as back:
        reader, writer = await asyncio.open_unix_connection(back.socket)
        writer.write(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n")
        answered = await reader.read(100) == (b":2\r\n" if fault is Fault.AGAIN else b":1\r\n")
        writer.transport.abort()
        await asyncio.to_thread(wait_until, lambda: _count(redis_process) == arrivals[0], 10, f"{arrivals[0]} arrivals")
    assert answered == arrivals[1]


def _count(server: RedisProcess) -> int:
    with server.client() as client:
        return int(client.get("n") or 0)

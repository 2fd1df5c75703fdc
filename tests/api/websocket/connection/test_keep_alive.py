"""Pings are sent at an interval, and a client that does not answer one is given up."""

import asyncio

from cellar.api.websocket.connection.keep_alive import KeepAlive


class Client:
    """Answers pings in its own way, until it is given up."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.answers = iter(answers)
        self.pings: list[bytes] = []
        self.given_up = asyncio.Event()
        self.keep_alive = KeepAlive(asyncio.get_running_loop(), 0.005, self.ping, self.given_up.set)

    def ping(self, payload: bytes) -> None:
        """Answer with the payload, or with the bytes that the test gives."""
        self.pings.append(payload)
        answer = next(self.answers, b"")
        self.keep_alive.pong(payload if answer is None else answer)


async def pings_of(client: Client) -> list[bytes]:
    """Return the pings until the client is given up."""
    client.keep_alive.start()
    async with asyncio.timeout(10):
        await client.given_up.wait()
    return client.pings


def test_a_client_is_given_up_with_the_first_ping_that_it_does_not_answer() -> None:
    async def run() -> list[bytes]:
        return await pings_of(Client([None, None, None]))

    pings = asyncio.run(run())
    assert len(pings) == 4
    assert len(set(pings)) == 4


def test_the_answer_to_another_ping_is_none() -> None:
    async def run() -> list[bytes]:
        return await pings_of(Client([b"another"]))

    assert len(asyncio.run(run())) == 1


def test_without_an_interval_and_after_the_end_there_are_no_pings() -> None:
    async def run() -> None:
        client = Client([])
        client.keep_alive.start()
        client.keep_alive.stop()
        KeepAlive(asyncio.get_running_loop(), None, client.ping, client.given_up.set).start()
        await asyncio.sleep(0.02)  # four intervals
        assert client.pings == []

    asyncio.run(run())

"""One URL, three clients: the link and both of redis-py take the same servers for the right one."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio.to_thread
import pytest
import redis

from cellar.errors import StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.notifications import listening_client
from cellar.store.protocol.url import Address
from cellar.store.topology.factory import sync_client
from tests.redis_process import RedisProcess

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Of `localhost`, signed by itself, with its key: good for this test alone."""


@asynccontextmanager
async def behind_tls(upstream: Path) -> AsyncIterator[int]:
    """Yield a port of this host that speaks TLS and passes everything on to a unix socket."""

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_unix_connection(upstream)
        await asyncio.gather(pump(reader, requests), pump(answers, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def link_accepts(url: str) -> bool:
    link = RedisConnection(Address.parse(url))
    try:
        return await link.call([(b"PING",)]) == [b"PONG"]
    except StoreUnavailable:
        return False
    finally:
        await link.aclose()


def client_accepts(url: str) -> bool:
    with sync_client(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


async def listener_accepts(url: str) -> bool:
    async with listening_client(Address.parse(url)) as client:
        try:
            return bool(await client.ping())
        except redis.ConnectionError:
            return False


async def test_the_options_of_a_url_mean_the_same_to_all(redis_process: RedisProcess) -> None:
    async with behind_tls(redis_process.socket) as port:
        for host, options, right in (
            ("localhost", "", False),
            ("localhost", f"?ssl_ca_certs={CERTIFICATE}", True),
            ("127.0.0.1", f"?ssl_ca_certs={CERTIFICATE}", False),
            ("127.0.0.1", f"?ssl_ca_certs={CERTIFICATE}&ssl_check_hostname=false", True),
            ("127.0.0.1", "?ssl_check_hostname=false", False),
            ("127.0.0.1", "?ssl_cert_reqs=none", True),
        ):
            url = f"rediss://{host}:{port}/0{options}"
            assert await link_accepts(url) == right, url
            assert await listener_accepts(url) == right, url
            assert await anyio.to_thread.run_sync(client_accepts, url) == right, url

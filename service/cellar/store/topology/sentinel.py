"""Asks Redis Sentinel for the present primary of a service."""

from cellar.errors import CellarError, StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.protocol.resp import ReplyError
from cellar.store.protocol.url import Address, SentinelAddress

SENTINEL_TIMEOUT_S = 1.0
"""A sentinel that does not answer in this time is skipped."""


class Sentinels:
    """Asks the sentinels one after the other, beginning with the last one that answered."""

    def __init__(self, address: SentinelAddress) -> None:
        self._address = address
        self._sentinels = list(address.sentinels)

    async def primary(self) -> Address:
        """Return the address of the primary, perhaps out of date. Raise StoreUnavailable if no sentinel has one."""
        failure: CellarError | None = None
        for sentinel in list(self._sentinels):
            try:
                host, port = await self._ask(sentinel)
            except CellarError as error:
                failure = error
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)
            else:
                return self._address.primary.at(host, port)
        assert failure is not None
        raise StoreUnavailable(f"no sentinel tells where the Redis {self._address.service!r} is: {failure.detail}")

    async def _ask(self, sentinel: Address) -> tuple[str, int]:
        link = RedisConnection(sentinel, connect_timeout_s=SENTINEL_TIMEOUT_S, reply_timeout_s=SENTINEL_TIMEOUT_S)
        try:
            [reply] = await link.call([(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._address.service.encode())])
        finally:
            await link.aclose()
        match reply:
            case [bytes(host), bytes(port)]:
                return host.decode(), int(port)
            case ReplyError():
                raise StoreUnavailable(f"{sentinel} answers {reply}")
        raise StoreUnavailable(f"{sentinel} does not know it")

"""Redis Sentinel: where the primary of a service is now."""

from cellar.errors import CellarError, StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.protocol.resp import ReplyError
from cellar.store.protocol.url import Address, SentinelAddress

SENTINEL_TIMEOUT_S = 1.0
"""A sentinel that does not answer in this time is passed over for the next."""


class Sentinels:
    """Asks the sentinels one after the other; the one that knew is asked first the next time."""

    def __init__(self, address: SentinelAddress) -> None:
        self._address = address
        self._sentinels = list(address.sentinels)

    async def primary(self) -> Address:
        """Return where they say that the primary is. Raise StoreUnavailable if none of them says so.

        What one of them says may be old: the server has to be asked for its role.
        """
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

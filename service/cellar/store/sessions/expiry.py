"""Finds sessions that have expired: names in the listing whose record is gone.

A key that Redis expires leaves nothing and tells nobody. So all names are looked at in turn, a bite a second for all
processes together: a key in Redis says that this second's bite is taken, and another where the next one begins. A
process that dies in the middle of a bite leaves it to the next. Ten thousand sessions are looked at in some minutes, a
million in little more than an hour; what asks for a session sees at once that it has expired.
"""

import asyncio
import logging
from collections.abc import Sequence

from cellar.errors import InvalidInput, StoreUnavailable
from cellar.store.connection.retry import RetryingClient
from cellar.store.keys import SessionKeys
from cellar.store.protocol.replies import text
from cellar.store.sessions.index import SessionIndex

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""How often a bite is taken: of a few hundred names, a millisecond's work."""


class ExpirySweeper:
    """Every process has one, and they take turns."""

    def __init__(
        self,
        client: RetryingClient,
        keys: SessionKeys,
        listing: SessionIndex,
        tenants: Sequence[str],
        *,
        every_s: float,
    ) -> None:
        self._client = client
        self._keys = keys
        self._listing = listing
        self._tenants = tenants
        self._every_s = every_s

    async def run(self) -> None:
        """Sweep until cancelled; a store that is away is waited for."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                if await self.take_turn():
                    await self.sweep()
            except StoreUnavailable as error:
                logger.warning("expired sessions cannot be looked for now: %s", error)
            except Exception:  # whatever it is, the next bite may be better
                logger.exception("expired sessions cannot be looked for")

    async def take_turn(self) -> bool:
        """Return whether the bite that is due is this process's. Raise StoreUnavailable."""
        return await self._client.take_turn(self._keys.sweep_turn, self._every_s)

    async def sweep(self) -> None:
        """Look at the next names, and remove those whose session has expired. Raise StoreUnavailable."""
        for tenant in self._tenants:
            place = self._keys.sweep_cursor(tenant)
            (cursor,) = await self._client.read([(b"GET", place)])
            try:
                keys, after = await self._listing.next_names(tenant, "" if cursor is None else text(cursor))
            except InvalidInput:  # not what a sweeper wrote
                keys, after = await self._listing.next_names(tenant, "")
            dead = await self._listing.without_record(keys) if keys else []
            if dead:
                await self._listing.remove(dead)
            await self._client.execute([(b"SET", place, after.encode())])

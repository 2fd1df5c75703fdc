"""Warns if processes on one Redis are configured with different replay windows.

An entry of the ring is in slot (revision modulo window). A process with another window looks in another slot, and
overwrites entries that are still needed. No change is applied twice because of that, since each entry identifies its
request, but answers to repeated requests are lost.
"""

import logging

from cellar.errors import CellarError
from cellar.store.connection.retry import RetryingClient
from cellar.store.protocol.replies import raw

logger = logging.getLogger(__name__)


async def agree(client: RetryingClient, key: bytes, window: int) -> None:
    """Store the window of this process under `key`, and log a warning if the process before stored another one.

    It is no error, because during a rolling change of the setting processes have different windows. If Redis cannot be
    reached or refuses the command, nothing is logged, and the next process that starts checks again.
    """
    (answer,) = await client.execute([(b"SET", key, b"%d" % window, b"GET")])
    if answer.reply is None or isinstance(answer.reply, CellarError):
        return
    other = raw(answer.reply).decode()
    if other != str(window):
        logger.warning(
            "CELLAR_REPLAY_WINDOW is %d here, and was %s in the process that started before on this Redis: while there"
            " are processes with either, repeated requests may be answered 409 replay_expired",
            window,
            other,
        )

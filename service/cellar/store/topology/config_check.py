"""The replay window, which all processes of one Redis must be set to alike: whoever starts hears what the last one had.

An entry of the ring lies in the slot that its revision has modulo the window. A process with another window looks for
it elsewhere, and puts its own over entries that are still wanted. Each entry says whose it is, so nothing is applied
twice by that, but what was answered is found no more.
"""

import logging

from cellar.errors import CellarError
from cellar.store.connection.retry import RetryingClient
from cellar.store.protocol.replies import raw

logger = logging.getLogger(__name__)


async def agree(client: RetryingClient, key: bytes, window: int) -> None:
    """Leave word under `key` of the window here, and warn if the last process that did so had another.

    A warning and no refusal: a window that is changed is another one for as long as processes are exchanged one by one.
    A Redis that is away, or that does not let its user do this, says nothing; whoever starts next asks again.
    """
    (answer,) = await client.execute([(b"SET", key, b"%d" % window, b"GET")])
    if answer.reply is None or isinstance(answer.reply, CellarError):
        return
    other = raw(answer.reply).decode()
    if other != str(window):
        logger.warning(
            "CELLAR_REPLAY_WINDOW is %d here, and was %s in the process that started before on this Redis: while there"
            " are processes with either, requests that come again may be answered 409 replay_expired",
            window,
            other,
        )

"""The Redis servers that this process cannot use now. Its connections to one server share what is logged about it."""

import logging

from cellar.ports.failure_log import FailureLog
from cellar.store.protocol.url import Address

logger = logging.getLogger(__name__)

_outages: dict[str, FailureLog] = {}
"""By the address of the server, which has no password in it. Servers that were always usable are not here."""


def leave_to_first() -> None:
    """Log nothing in this process: the first api process of the service logs the outages for all."""
    logger.setLevel(logging.ERROR)


def cannot_be_used(where: Address, reason: str) -> None:
    """Note that a server cannot be used. It is logged at the first time, and when the reason changes."""
    found = _outages.get(str(where))
    if found is None:
        found = _outages[str(where)] = FailureLog(logger, f"Redis at {where} answers again")
    found.failed(f"Redis at {where} cannot be used: {reason}")


def can_be_used(where: Address) -> None:
    """Note that a server can be used. It is logged if that was not so before."""
    found = _outages.get(str(where))
    if found is not None:
        found.worked()

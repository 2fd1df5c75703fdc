"""Sessions that are created by one request: its lines of JSON, and the lines of its answer."""

from collections.abc import Sequence
from typing import Any

import orjson

from cellar.api.decoding.state_body import parts_of_layers
from cellar.api.errors.problems import embedded
from cellar.api.http.body import decode_in_thread, validated
from cellar.api.schemas.names import dump_members
from cellar.api.schemas.session.sessions import SessionAnswer, SessionLine
from cellar.errors import CellarError, InvalidInput
from cellar.metrics.counts import COUNTS
from cellar.sessions.operations.bulk_creation import AT_ONCE, BulkCreation, SessionOrder
from cellar.sessions.service.options import SessionOptions
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.results import CreateAnswer
from cellar.wire.json.document import decode
from cellar.wire.json.lines import is_blank
from cellar.wire.json.outline import outline

MOST_SESSIONS = 10_000
"""Most lines of a request: their answers, which are sent together, have five megabytes."""


async def create_lines(sessions: Sessions, tenant: str, body: bytes) -> bytes:
    """Create a session for each line; return a line for each, in their order. Raise InvalidInput for too many lines."""
    lines = [line for line in body.split(b"\n") if not is_blank(line)]
    if len(lines) > MOST_SESSIONS:
        raise InvalidInput(
            "a request may create fewer sessions", expected=f"at most {MOST_SESSIONS} lines", actual=str(len(lines))
        )
    creation, answers = BulkCreation(sessions, tenant), list[bytes]()
    for start in range(0, len(lines), AT_ONCE):
        some = lines[start : start + AT_ONCE]
        read = await decode_in_thread(sum(map(len, some)), _orders, sessions, some)
        orders = [order for order in read if isinstance(order, SessionOrder)]
        created = iter(await creation.create(orders))
        answers += [
            _answer(order, next(created)) if isinstance(order, SessionOrder) else _problem(*order) for order in read
        ]
    return b"".join(answers)


def _orders(sessions: Sessions, lines: Sequence[bytes]) -> list[SessionOrder | tuple[str | None, CellarError]]:
    """Return the order of each line, or the name in it and its fault."""
    return [_order(sessions, line) for line in lines]


def _order(sessions: Sessions, line: bytes) -> SessionOrder | tuple[str | None, CellarError]:
    try:
        asked = validated(SessionLine, decode(line))
        states = None if asked.layers is None else parts_of_layers(asked.layers)
    except CellarError as fault:
        session = outline(line).members.get("session")
        return session if isinstance(session, str) else None, fault
    kept = asked.history, asked.log, asked.events, asked.pinned
    return SessionOrder(
        asked.session, asked.model, SessionOptions(asked.batch_size, sessions.ttl_s(asked.ttl_s), *kept), states
    )


def _answer(order: SessionOrder, result: CreateAnswer | CellarError) -> bytes:
    if isinstance(result, CellarError):
        return _problem(order.session, result)
    members = SessionAnswer.members(result.session)
    return dump_members(members if result.created else {**members, "replayed": True}) + b"\n"


def _problem(session: str | None, error: CellarError) -> bytes:
    named: dict[str, Any] = {} if session is None else {"session": session}
    COUNTS.refuse(error.slug)
    return orjson.dumps(named | embedded(error), option=orjson.OPT_APPEND_NEWLINE)

"""Sessions that are created by one request: its lines of JSON, and the lines of its answer."""

from collections.abc import Sequence
from typing import Any

import orjson

from cellar.api.bulk.failed_lines import FailedLines
from cellar.api.decoding.state_body import parts_of_layers
from cellar.api.decoding.steps.step_fast_json import plain_object
from cellar.api.errors.problems import embedded
from cellar.api.http.body import decode_in_thread, validated
from cellar.api.schemas.names import dump_members
from cellar.api.schemas.session.sessions import SessionAnswer, SessionLine
from cellar.errors import CellarError, InvalidInput
from cellar.metrics.counts import COUNTS
from cellar.ports import is_name
from cellar.sessions.operations.bulk_creation import AT_ONCE, BulkCreation, SessionOrder
from cellar.sessions.service.options import SessionOptions
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.results import CreateAnswer
from cellar.wire.json.document import decode
from cellar.wire.json.lines import is_blank
from cellar.wire.json.outline import outline

MOST_SESSIONS = 10_000
"""Most lines of a request: their answers, which are sent together, have five megabytes."""


async def create_lines(sessions: Sessions, tenant: str, body: bytes, failed: FailedLines) -> bytes:
    """Create a session for each line; return a line for each, in their order. Raise InvalidInput for too many lines.

    Lines that fail are counted in `failed`.
    """
    lines = [line for line in body.split(b"\n") if not is_blank(line)]
    if len(lines) > MOST_SESSIONS:
        raise InvalidInput(
            "a request may create fewer sessions", expected=f"at most {MOST_SESSIONS} lines", actual=str(len(lines))
        )
    failed.lines = len(lines)
    creation, reader, answers = BulkCreation(sessions, tenant), _OrderReader(sessions), list[bytes]()
    for start in range(0, len(lines), AT_ONCE):
        some = lines[start : start + AT_ONCE]
        read = await decode_in_thread(sum(map(len, some)), reader.read, some)
        orders = [order for order in read if isinstance(order, SessionOrder)]
        created = iter(await creation.create(orders))
        for order in read:
            found = next(created) if isinstance(order, SessionOrder) else order[1]
            session = order.session if isinstance(order, SessionOrder) else order[0]
            if isinstance(found, CellarError):
                failed.add(session, found)
                answers.append(_problem(session, found))
            else:
                answers.append(_answer(found))
    return b"".join(answers)


class _OrderReader:
    """Reads the orders of one request. Most of its lines differ in the name alone: the rest is validated once."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known: dict[bytes, SessionOrder] = {}
        """Valid orders by the members of their lines, besides the name."""

    def read(self, lines: Sequence[bytes]) -> list[SessionOrder | tuple[str | None, CellarError]]:
        """Return the order of each line, or the name in it and its fault."""
        return [self._order(line) for line in lines]

    def _order(self, line: bytes) -> SessionOrder | tuple[str | None, CellarError]:
        document = plain_object(line)
        session = None if document is None else document.pop("session", None)
        if type(session) is not str or not is_name(session):
            return self._validated(line)
        members = orjson.dumps(document)
        known = self._known.get(members)
        if known is not None:
            return SessionOrder(session, known.model, known.options)
        order = self._validated(line)
        if isinstance(order, SessionOrder) and order.states is None:
            self._known[members] = order
        return order

    def _validated(self, line: bytes) -> SessionOrder | tuple[str | None, CellarError]:
        try:
            asked = validated(SessionLine, decode(line))
            states = None if asked.layers is None else parts_of_layers(asked.layers)
        except CellarError as fault:
            session = outline(line).members.get("session")
            return session if isinstance(session, str) else None, fault
        kept = asked.history, asked.log, asked.events, asked.pinned, asked.learning_text
        options = SessionOptions(asked.batch_size, self._sessions.ttl_s(asked.ttl_s), *kept)
        return SessionOrder(asked.session, asked.model, options, states)


def _answer(result: CreateAnswer) -> bytes:
    members = SessionAnswer.members(result.session)
    return dump_members(members if result.created else {**members, "replayed": True}) + b"\n"


def _problem(session: str | None, error: CellarError) -> bytes:
    named: dict[str, Any] = {} if session is None else {"session": session}
    COUNTS.refuse(error.slug)
    return orjson.dumps(named | embedded(error), option=orjson.OPT_APPEND_NEWLINE)

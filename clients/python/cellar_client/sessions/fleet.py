"""Creates and deletes many sessions in one request each."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from cellar_client.core.effects import ConnectionLost, Operation, Pause, Reply, Request
from cellar_client.core.exchange import Patience, call, problem_of
from cellar_client.documents import DeletionDocument, SessionDocument
from cellar_client.errors import Problem, Unavailable

HEADERS = {"Content-Type": "application/x-ndjson"}

MOST_LINES = 4096
"""Most sessions of a request; the service takes 10,000."""

LOOK_S = 1.0
"""Seconds between two questions whether a deletion has ended."""


def create_all(
    wanted: Sequence[Mapping[str, Any]], model: str | None, give_up_s: float
) -> Operation[list[SessionDocument | Problem]]:
    """Create sessions, and return the session or the error of each, in order."""
    lines = [{"session": uuid.uuid4().hex, **({} if model is None else {"model": model}), **each} for each in wanted]
    outcomes: list[SessionDocument | Problem | None] = [None] * len(lines)
    patience, left = Patience(give_up_s), list(range(len(lines)))
    while left:
        now = left[:MOST_LINES]
        body = b"".join(json.dumps(lines[at]).encode() + b"\n" for at in now)
        try:
            reply: Reply = yield Request("POST", "/v1/sessions/bulk", body, HEADERS)
        except ConnectionLost as error:
            yield patience.pause(error)
            continue
        again = problem_of(reply) if reply.status >= 300 else _note(reply.content, now, outcomes)
        if again is not None and not isinstance(again, Unavailable):
            raise again
        if again is not None:
            yield patience.pause(again, again.retry_after_s)
        else:
            patience.restart()
        left = [at for at in left if outcomes[at] is None]
    return [outcome for outcome in outcomes if outcome is not None]


def _note(content: bytes, sent: Sequence[int], outcomes: list[SessionDocument | Problem | None]) -> Problem | None:
    """Note the answers to the lines that were sent. Return an error after which some are to be sent again."""
    again: Problem | None = None
    for at, line in zip(sent, content.splitlines(), strict=True):
        document = json.loads(line)
        if "type" not in document:
            outcomes[at] = document
            continue
        problem = Problem.of(document)
        if isinstance(problem, Unavailable):
            again = problem
        else:
            outcomes[at] = problem
    return again


def delete_all(params: Mapping[str, Any], give_up_s: float) -> Operation[DeletionDocument]:
    """Delete the sessions that fit the filters, and return the deletion when it has ended."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    found = yield from call("DELETE", "/v1/sessions", params=params, headers=key, give_up_s=give_up_s)
    while found["state"] == "running":
        yield Pause(LOOK_S)
        found = yield from call("GET", f"/v1/deletions/{found['deletion']}", give_up_s=give_up_s)
    document: DeletionDocument = found
    return document

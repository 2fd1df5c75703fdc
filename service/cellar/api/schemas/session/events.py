"""The text of server-sent events about a session, and its description in the API document."""

import re
from typing import Any

import numpy as np
import orjson

from cellar.ports import split_scores
from cellar.sessions.events.subscription import End, EventId, Gap, NewEvent, Notice

MEDIA_TYPE = "text/event-stream"

_LAST = re.compile(r"([0-9a-f]{16})-([0-9]+)")

ITEM: dict[str, Any] = {
    "type": "object",
    "description": "Each event of the stream.",
    "properties": {
        "event": {
            "type": "string",
            "description": "The kind of change: `create`, `fork` or `replay`, `step`, `sequence`, `reset`,"
            " `write`, `restore`, `rewind`, `migrate`, `settings`, `follow` (the alias of the"
            " session has moved). `gap`: changes that are no longer kept. `expired`,"
            " `deleted`: the session no longer exists. `stopping`: the service is about to stop; resume elsewhere.",
        },
        "id": {"type": "string", "description": "Of a change: resumes after it."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "type": "object",
                "properties": {
                    "step": {"type": "integer", "description": "Steps of the epoch after the change."},
                    "position": {"type": "string", "description": "After the change."},
                    "steps": {"type": "integer", "description": "Steps of the change."},
                    "outputs": {
                        "type": ["array", "null"],
                        "description": "Of each step, for each row; null if there are none or they were too large.",
                        "items": {},
                    },
                    "missed": {
                        "type": ["integer", "null"],
                        "description": "Of a gap: how many changes; null if they were of another session of this name,"
                        " or if the store has lost them.",
                    },
                },
            },
        },
    },
    "required": ["data"],
}
"""The schema of each event. OpenAPI 3.1 has none for the whole stream."""


def event_id(last_event_id: str) -> EventId:
    """Return the event that a Last-Event-ID names. The text must match the pattern."""
    found = _LAST.fullmatch(last_event_id)
    assert found is not None
    return EventId(bytes.fromhex(found[1]), int(found[2]))


def text_of(notice: Notice, rows: int) -> bytes:
    """Return a notice as the text of a server-sent event; a heartbeat is a comment."""
    if isinstance(notice, NewEvent):
        return _new_event(notice, rows)
    if isinstance(notice, Gap):
        return _text("gap", {"missed": notice.changes if notice.changes >= 0 else None})
    if isinstance(notice, End):
        return _text(notice.reason, {})
    return b": nothing has happened\n\n"


def _new_event(notice: NewEvent, rows: int) -> bytes:
    event = notice.event
    data: dict[str, Any] = {
        "step": event.after.step,
        "position": str(event.after),
        "steps": event.steps,
        "outputs": None,
    }
    if event.output is not None and event.steps:
        outputs = np.frombuffer(split_scores(event.output)[0], "<f4")
        data["outputs"] = outputs.reshape(event.steps, rows, -1).astype(np.float64)
    return _text(event.kind, data, f"{notice.id.incarnation.hex()}-{notice.id.revision}")


def _text(event: str, data: dict[str, Any], number: str | None = None) -> bytes:
    body = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    head = f"event: {event}\n" + ("" if number is None else f"id: {number}\n")
    return head.encode() + b"data: " + body + b"\n\n"

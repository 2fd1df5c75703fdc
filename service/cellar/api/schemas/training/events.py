"""The text of server-sent events about a job, and its description in the API document."""

from typing import Any

from cellar.ports import JobEvent

JOB_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "Each event of the stream.",
    "properties": {
        "event": {
            "type": "string",
            "description": "`state`: the job is queued or running, and which attempt it is. `progress`: a report of the"
            " worker, about once a second. `end`: the job has succeeded, failed or was cancelled, and the stream ends."
            " `gap`: earlier events are no longer kept. `deleted`: there is no such job any more. `stopping`: the"
            " service is about to stop; resume elsewhere.",
        },
        "id": {"type": "string", "description": "Resumes after it."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "type": "object",
                "properties": {
                    "state": {"type": "string", "description": "Of `state` and `end`."},
                    "attempt": {"type": "integer", "description": "Of `state`: the number of the attempt."},
                    "cancelling": {"type": "boolean", "description": "Of `state`: the job was asked to end."},
                    "epoch": {"type": "integer", "description": "Of `progress`, with all members of that of the job."},
                    "history": {
                        "type": "array",
                        "items": {"type": "object"},
                        "description": "Of `progress`: the epochs that have finished since the last event.",
                    },
                    "result": {"type": "string", "description": "Of `end`: the new version."},
                    "error": {"type": "string", "description": "Of `end`: why the job has failed."},
                    "missed": {
                        "type": ["integer", "null"],
                        "description": "Of a gap: how many events; null if they were of a deleted job of this name.",
                    },
                },
            },
        },
    },
    "required": ["data"],
}
"""The schema of each event. OpenAPI 3.1 has none for the whole stream."""


SWEEP_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "Each event of the stream.",
    "properties": {
        "event": {
            "type": "string",
            "description": "`state`: the sweep runs. `trial`: a trial has begun or ended. `end`: the sweep has"
            " succeeded, failed or was cancelled, and the stream ends. `gap`, `deleted` and `stopping` as for jobs.",
        },
        "id": {"type": "string", "description": "Resumes after it."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "type": "object",
                "properties": {
                    "number": {"type": "integer", "description": "Of a trial."},
                    "parameters": {"type": "object", "description": "Of a trial."},
                    "job": {"type": "string", "description": "Of a trial."},
                    "state": {"type": "string"},
                    "value": {"type": ["number", "null"], "description": "Of a trial: the loss of its result."},
                    "result": {"type": "string", "description": "Of `end`: the new version."},
                    "error": {"type": ["string", "null"]},
                },
            },
        },
    },
    "required": ["data"],
}


def job_event_text(event: JobEvent | None) -> bytes:
    """Return an event as the text of a server-sent event; None, a heartbeat, is a comment."""
    if event is None:
        return b": nothing has happened\n\n"
    number = f"id: {event.id}\n" if event.id else ""
    return f"event: {event.kind}\n{number}data: {event.data}\n\n".encode()

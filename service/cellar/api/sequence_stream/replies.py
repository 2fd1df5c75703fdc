"""The lines of JSON that answer a long sequence."""

from typing import Any, Literal

import orjson

from cellar.api.errors.problems import embedded
from cellar.errors import CellarError
from cellar.sessions.operations.long_sequence import LongSequence, Ran
from cellar.wire.json.encoding import dump_json

Outputs = Literal["all", "last", "none"]


def line_of(ran: Ran, outputs: Outputs) -> bytes:
    """Return the line of a chunk that has run. Numbers are float64, as in all answers."""
    document: dict[str, Any] = {"first": ran.first, "steps": ran.steps, "committed": ran.position is not None}
    if ran.position is not None:
        document |= {"step": ran.position.step, "position": str(ran.position)}
    if ran.replayed:
        document["replayed"] = True
    if ran.model is not None:
        document["model"] = ran.model
    if outputs != "none":
        shown = ran.outputs if outputs == "all" or ran.outputs is None else ran.outputs[-1:]
        document["outputs"] = shown
    return dump_json(document, b"\n")


def last_line(sequence: LongSequence) -> bytes:
    """Return the last line, with the position of the session."""
    replayed = {"replayed": True} if sequence.replayed else {}
    return _line({"done": True, "steps": sequence.steps, "committed": True, **place_of(sequence), **replayed})


def problem_line(error: CellarError, sequence: LongSequence) -> bytes:
    """Return the line of an error, with the first step that has not run and the position of the session."""
    return _line({**place_of(sequence), "first": sequence.steps, **embedded(error)})


def place_of(sequence: LongSequence) -> dict[str, Any]:
    """Return the last known position of the session."""
    return {"step": sequence.position.step, "position": str(sequence.position)}


def _line(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)

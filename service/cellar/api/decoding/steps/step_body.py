"""Chooses the decoder of a step's HTTP body by its kind (step or sequence) and its media type."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from starlette.requests import Request

from cellar.api.decoding.steps.step_fast_json import read_step
from cellar.api.decoding.steps.step_input import read_sequence, sequence_of_npy, step_of_npy
from cellar.api.http.body import JSON
from cellar.api.http.query_and_headers import read_query, refuse_query
from cellar.api.schemas.session.steps import SequenceQuery, StepQuery
from cellar.ports import SessionKey, StepCommand
from cellar.wire.arrays import npy

TYPES = (JSON, npy.MEDIA_TYPE)
"""Media types of bodies and of answers."""

NO_QUERY = SequenceQuery()

Kind = Literal["step", "sequence"]

Decoder = Callable[[bytes, SessionKey, str | None, float | None], StepCommand]
"""Takes a body, its session, its Idempotency-Key and its deadline in seconds, and returns the command.

Raises MalformedJson, MalformedBody or InvalidInput.
"""


def query_of(kind: Kind, media_type: str, request: Request) -> StepQuery:
    """Return the query of a request; with JSON it must be empty. Raise InvalidParameter."""
    if media_type == JSON:
        refuse_query(request)
        return NO_QUERY
    return read_query(SequenceQuery if kind == "sequence" else StepQuery, request)


def decoder_of(kind: Kind, media_type: str, query: StepQuery) -> Decoder:
    """Return the decoder of a body with this query."""
    if media_type == JSON:
        return read_sequence if kind == "sequence" else read_step
    if kind == "sequence":
        assert isinstance(query, SequenceQuery)
        return partial(sequence_of_npy, query=query)
    return partial(step_of_npy, query=query)

"""Reads query parameters as pydantic models, and the deadline from a request's headers."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError
from starlette.requests import HTTPConnection, Request

from cellar.api.errors.validation_errors import invalid_request, shown
from cellar.api.http.body import Model
from cellar.api.schemas.names import MOST_TIMEOUT_MS
from cellar.errors import InvalidInput, InvalidParameter
from cellar.errors.suggestions import closest

TIMEOUT = "Cellar-Timeout-Ms"
_TIMEOUT = re.compile(r"[0-9]{1,6}")


def check_query(request: HTTPConnection, known: Collection[str]) -> None:
    """Raise InvalidParameter for a parameter that is unknown, repeated, or not percent-encoded UTF-8."""
    sent = request.query_params
    for name in sent:
        if name not in known:
            near = closest(name, known)
            hint = "" if near is None else f": did you mean {near}?"
            raise InvalidParameter(
                f"query parameter {name}: there is no such parameter{hint}",
                location="query",
                parameter=name,
                expected=f"one of {', '.join(sorted(known))}" if known else "no query",
                actual=shown(name),
            )
        if len(sent.getlist(name)) > 1:
            raise InvalidParameter(
                f"query parameter {name}: it stands {len(sent.getlist(name))} times",
                location="query",
                parameter=name,
                expected="one value",
            )

    if b"%" in request.scope["query_string"]:
        _check_encoding(request.scope["query_string"])


def _check_encoding(query: bytes) -> None:
    """Raise InvalidParameter for bytes that are not UTF-8, which would be decoded to other characters."""
    for pair in query.split(b"&"):
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            name = unquote_to_bytes(pair.partition(b"=")[0]).decode(errors="replace")
            raise InvalidParameter(
                f"query parameter {name}: it is not UTF-8 in percent-encoding",
                location="query",
                parameter=name,
                expected="UTF-8",
            ) from None


def read_query(kind: type[Model], request: Request) -> Model:
    """Return the query as a model. Raise InvalidParameter for a value that does not fit, is unknown or is repeated."""
    check_query(request, kind.model_fields)
    try:
        return kind.model_validate_strings(dict(request.query_params))
    except ValidationError as error:
        faults = [{**fault, "loc": ("query", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise invalid_request(faults, None) from None


def refuse_query(request: Request) -> None:
    """Raise InvalidParameter if there is a query: with a JSON body its parameters are members of the body."""
    for name in request.query_params:
        raise InvalidParameter(
            f"query parameter {name}: with a JSON body it stands in the body",
            location="query",
            parameter=name,
            expected="no query",
        )


def deadline_s(request: Request) -> float | None:
    """Return the seconds within which the request must begin to run, None if it may wait. Raise InvalidParameter."""
    text = request.headers.get(TIMEOUT)
    if text is None:
        return None
    if not (_TIMEOUT.fullmatch(text) and 1 <= int(text) <= MOST_TIMEOUT_MS):
        raise InvalidParameter(
            f"header {TIMEOUT}: expected milliseconds",
            location="header",
            parameter=TIMEOUT,
            expected=f"1 to {MOST_TIMEOUT_MS}",
            actual=text[:40],
        )
    return int(text) / 1000


@contextmanager
def of_query(kind: type[Model]) -> Iterator[None]:
    """Turn errors that point at a member of `kind` into errors of a query parameter."""
    try:
        yield
    except InvalidInput as error:
        name = error.pointer.removeprefix("/")
        if name not in kind.model_fields:
            raise
        raise InvalidParameter(
            error.detail, location="query", parameter=name, expected=error.expected, actual=error.actual
        ) from None

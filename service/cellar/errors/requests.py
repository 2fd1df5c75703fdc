"""Errors of requests that cannot be read, or are refused before they are read."""

from dataclasses import dataclass

from cellar.errors.base import CellarError


@dataclass(eq=False, repr=False, kw_only=True)
class MalformedJson(CellarError, slug="malformed_json", title="Malformed JSON"):
    """The body is not JSON. `line` and `column` count from 1, `offset` (in characters) from 0."""

    members = ("line", "column", "offset")
    line: int
    column: int
    offset: int


@dataclass(eq=False, repr=False, kw_only=True)
class MalformedBody(CellarError, slug="malformed_body", title="Malformed body"):
    """The body is not valid npy, gzip or frames.

    `offset` is the number of bytes before the fault, None if unknown.
    """

    members = ("offset",)
    offset: int | None = None


class MalformedRequest(CellarError, slug="malformed_request", title="Malformed request"):
    """The bytes are not an HTTP request, or two parsers may read them differently. The connection is closed."""


class BodyTooLarge(CellarError, slug="body_too_large", title="Body too large"):
    """The request body is over the limit."""


class HostRefused(CellarError, slug="host_refused", title="Host refused"):
    """The `Host` is not a name of the service. This prevents DNS rebinding by web pages."""


class Unauthenticated(CellarError, slug="unauthenticated", title="Unauthenticated"):
    """The request has no API key, or none that may be used."""


@dataclass(eq=False, repr=False, kw_only=True)
class ScopeMissing(CellarError, slug="scope_missing", title="Scope missing"):
    """The API key has not the scope that the request needs."""

    members = ("scope",)
    scope: str


class HeadTooLarge(CellarError, slug="head_too_large", title="Request head too large"):
    """The head of the request is over the limit, or its trailers are."""


class RequestTimeout(CellarError, slug="request_timeout", title="Request timeout"):
    """The request did not arrive completely in time; nothing was applied."""


class OriginRefused(CellarError, slug="origin_refused", title="Origin refused"):
    """A web page of another site sent the request. Browsers allow that for some requests and for WebSockets."""


class UnsupportedMediaType(CellarError, slug="unsupported_media_type", title="Unsupported media type"):
    """A content type or content encoding that the route does not accept."""


class NotAcceptable(CellarError, slug="not_acceptable", title="Not acceptable"):
    """The route cannot answer with any of the types that the request accepts."""

"""Requests that cannot be read, or are not taken."""

from cellar.errors.base import CellarError


class MalformedJson(CellarError, slug="malformed_json", title="Malformed JSON"):
    """The body is not JSON. `line` and `column` count from 1, `offset` (in characters) from 0."""

    members = ("line", "column", "offset")

    def __init__(self, detail: str, *, line: int, column: int, offset: int) -> None:
        super().__init__(detail)
        self.line = line
        self.column = column
        self.offset = offset


class MalformedBody(CellarError, slug="malformed_body", title="Malformed body"):
    """The body is not the npy, gzip or frames that it is said to be.

    `offset` counts the bytes before the fault, where that is known.
    """

    members = ("offset",)

    def __init__(self, detail: str, *, offset: int | None = None) -> None:
        super().__init__(detail)
        self.offset = offset


class MalformedRequest(CellarError, slug="malformed_request", title="Malformed request"):
    """The bytes are not an HTTP request, or two readers may find two requests in them. The connection is closed."""


class BodyTooLarge(CellarError, slug="body_too_large", title="Body too large"):
    """The request body is over the limit."""


class HostRefused(CellarError, slug="host_refused", title="Host refused"):
    """The `Host` is none of the service's names: a web page may have made its own name lead here."""


class HeadTooLarge(CellarError, slug="head_too_large", title="Request head too large"):
    """The head of the request, or its trailers, are over the limit."""


class RequestTimeout(CellarError, slug="request_timeout", title="Request timeout"):
    """The request did not come in the time that it had; nothing was applied."""


class OriginRefused(CellarError, slug="origin_refused", title="Origin refused"):
    """A page of another site, whose browser asks nobody before it sends a change or opens a WebSocket."""


class UnsupportedMediaType(CellarError, slug="unsupported_media_type", title="Unsupported media type"):
    """A content type, or an encoding of it, that the route does not read."""


class NotAcceptable(CellarError, slug="not_acceptable", title="Not acceptable"):
    """None of the types that the request accepts can be answered."""

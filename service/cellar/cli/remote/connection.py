"""A connection to a running service, whose problems become errors in one line."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote

from cellar.cli.console import Mistake

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 300.0
"""A service may have to compile a network before it answers."""

TRIES = 5
"""Of a request that was not applied, because the service had too much to do or its store was away."""

LONGEST_PAUSE_S = 5.0

PAGE = 1000
"""Documents in a page of a list."""

MEMBERS = ("place", "pointer", "expected", "actual", "remedy")
"""Members of a problem document that say where a fault is and how it is mended."""

Params = Mapping[str, str | int | float | bool | None]


def default_url() -> str:
    """Return the URL of the service that has this environment. Raise SettingsInvalid."""
    from cellar.settings import Settings

    settings = Settings.load()
    scheme = "http" if settings.tls_certificate is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # compared, not bound
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


class Requests(Protocol):
    """Answers requests: a service, or this process itself."""

    url: str
    """The address of the service."""
    invitation: str
    """The sentence that stands before the requests for a published model."""

    def left(self, job: str) -> str:
        """Return a sentence about a job that has not ended when the command ends."""

    def get(self, path: str, params: Params | None = None) -> Any:
        """Return the document at a path."""

    def send(self, method: str, path: str, **request: Any) -> Any:
        """Return the document that answers a request."""


class Service:
    """A service by its URL, and the API key that is sent to it."""

    invitation = "Create a session that continues the data, and ask what comes next"

    def __init__(self, url: str | None, api_key: str | None) -> None:
        import httpx

        self.url = (url or default_url()).rstrip("/")
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        if not self.url.startswith(("http://", "https://")):
            raise Mistake(f"--url {self.url} is no URL of a service: expected http://HOST:PORT")
        with self._answering():
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def left(self, job: str) -> str:
        """Return a sentence about a job that has not ended when the command ends."""
        return f"the job {job} runs without this command: `cellar jobs wait {job}`"

    def get(self, path: str, params: Params | None = None) -> Any:
        """Return the document at a path. Raise Mistake with the problem that the service answers."""
        return self.send("GET", path, params=params)

    def send(self, method: str, path: str, *, tries: int = TRIES, **request: Any) -> Any:
        """Return the document that answers a request, None for an empty one. Raise Mistake as `get`.

        A request that the service has not applied, for it had too much to do, is sent again.
        """
        request["params"] = {name: value for name, value in (request.get("params") or {}).items() if value is not None}
        for number in range(1, tries + 1):
            with self._answering():
                answer = self._http.request(method, path, **request)
            if number == tries or not _may_be_repeated(method, answer):
                break
            time.sleep(min(float(answer.headers["Retry-After"]), LONGEST_PAUSE_S))
        return self._document(answer)

    def send_lines(self, path: str, lines: str, headers: Mapping[str, str]) -> list[Any]:
        """Return the lines that answer lines of JSON. Raise Mistake as `get`, or if a line has failed."""
        with self._answering():
            answer = self._http.request("POST", path, content=lines, headers=headers)
        if not answer.is_success:
            self._document(answer)
        found = [json.loads(line) for line in answer.content.splitlines() if line.strip()]
        for each in found:
            if "status" in each and "type" in each:
                raise Mistake(problem_line(each["status"], each))
        return found

    @contextmanager
    def download(
        self, path: str, params: Params, headers: Mapping[str, str] | None = None
    ) -> "Iterator[httpx.Response]":
        """Return an answer whose body is still to be read. Raise Mistake as `get`."""
        with self._answering(), self._http.stream("GET", path, params=dict(params), headers=headers) as answer:
            if not answer.is_success:
                answer.read()
                self._document(answer)
            yield answer

    @contextmanager
    def _answering(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.InvalidURL as error:
            raise Mistake(f"--url {self.url} is no URL of a service: {error}") from error
        except httpx.HTTPError as error:
            raise Mistake(
                f"the service at {self.url} does not answer ({str(error) or type(error).__name__}): start it with"
                " `cellar serve`, or give the address of another one with --url or CELLAR_URL"
            ) from error

    def _document(self, answer: "httpx.Response") -> Any:
        try:
            document = answer.json() if answer.content else None
        except ValueError:
            raise Mistake(
                f"{self.url} answers {answer.status_code} without JSON: it is no Cellar service, or a proxy before one"
            ) from None
        if answer.is_success:
            return document
        raise Mistake(problem_line(answer.status_code, document if isinstance(document, dict) else {}))


def problem_line(status: int, problem: Mapping[str, Any]) -> str:
    """Return a problem document as a line: what is wrong, where, what was expected and found, and what to do."""
    parts = [str(problem.get("detail") or problem.get("title") or f"the service answers {status}")]
    parts += [f"{name}: {problem[name]}" for name in MEMBERS if name in problem]
    if status == HTTPStatus.UNAUTHORIZED:
        parts.append("give an API key with --api-key or CELLAR_API_KEY; `cellar keys create` makes one")
    return "; ".join(parts)


def path_of(*parts: str) -> str:
    """Return a path below /v1 with these parts.

    >>> path_of("models", "co2@3"), path_of("sessions", "a b")
    ('/v1/models/co2@3', '/v1/sessions/a%20b')
    """
    return "/".join(("/v1", *(quote(part, safe="@") for part in parts)))


def _may_be_repeated(method: str, answer: "httpx.Response") -> bool:
    """Return whether a request was refused for a moment, and certainly not applied."""
    if answer.status_code not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return False
    if not answer.headers.get("Retry-After", "").isdecimal():
        return False
    return method == "GET" or b'"not_applied"' in answer.content


def pages(
    service: Service, path: str, member: str, params: Params, most: int | None = None, cursor: str | None = ""
) -> Iterator[dict[str, Any]]:
    """Yield the documents of a list behind a cursor, page by page, at most `most` of them."""
    left = most
    while cursor is not None and (left is None or left > 0):
        limit = PAGE if left is None else min(PAGE, left)
        page = service.get(path, {**params, "limit": limit, "cursor": cursor or None})
        yield from page[member]
        left = None if left is None else left - len(page[member])
        cursor = page["cursor"] or None

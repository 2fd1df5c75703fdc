"""Requests as httpx sends them: the parts that do not change are made once."""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import httpx

from cellar_client.core.effects import Request

QUIET_S = 60.0
"""Longest silence of an answer that is read as it comes, at least: the service sends a comment after 15 s."""


def all_headers(api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers of every request, with the API key that is given or in the environment, if any."""
    key = os.environ.get("CELLAR_API_KEY") if api_key is None else api_key
    return ({"Authorization": f"Bearer {key}"} if key else {}) | dict(headers or {})


class RequestBuilder:
    """Builds requests to the service at an address. Each has the headers of the client and its timeouts.

    Raise ValueError for something that is no address.
    """

    def __init__(self, url: str, headers: Mapping[str, str], client: httpx.Client | httpx.AsyncClient) -> None:
        self.headers = headers
        self._base = httpx.URL(url)
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise ValueError(f"{url!r} is not the address of a service: http://host:port")
        self._all = {**client.headers, **headers}
        timeouts = client.timeout.as_dict()
        self._timeouts = {"timeout": timeouts}
        self._patient = {"timeout": timeouts | {"read": max(timeouts["read"] or 0, QUIET_S)}}
        self._url = lru_cache(1024)(self._url_of)

    def build(self, request: Request, content: Any, *, patient: bool) -> httpx.Request:
        """Return a request with a body, which may be an iterator. A patient one may be answered slowly."""
        url = self._url(request.path)
        if request.params:
            url = url.copy_merge_params(request.params)
        headers = {**self._all, **request.headers}
        extensions = self._patient if patient else self._timeouts
        return httpx.Request(request.method, url, headers=headers, content=content, extensions=extensions)

    def socket_url(self, path: str) -> str:
        """Return the address of a WebSocket."""
        return str(self._url(path)).replace("http", "ws", 1)

    def _url_of(self, path: str) -> httpx.URL:
        return self._base.copy_with(raw_path=(self._base.path.rstrip("/") + path).encode())

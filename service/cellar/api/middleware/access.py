"""Access control: which web pages may send requests, and by which names the service may be called.

A browser lets every page send requests to any address, also of its own machine, and open WebSockets. It names the page
(Origin) and the name that the page uses for the service (Host). A page whose own name resolves to the service's address
(DNS rebinding) has a matching Origin, so both are checked.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cellar.api.errors.problems import problem_of
from cellar.api.limits.memoize import memoized
from cellar.errors import CellarError, HostRefused, OriginRefused
from cellar.settings.values import is_loopback

ANY = "*"

SAFE = ("GET", "HEAD")
"""Methods that change nothing. A foreign page cannot read their answers."""

FOREIGN_SITES = ("cross-site", "same-site")
"""Values of a browser's Sec-Fetch-Site for a page that is not the service's own."""

SHOWN = 100
"""Characters of a wrong header that an error repeats."""


class Access:
    """The names of the service, and the pages that may use it.

    `hosts` are names by which the service may be called, without ports, besides those of the machine itself; "*" allows
    all. `origins` are pages that may change something, besides the service's own; "*" allows all.
    """

    def __init__(self, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower() for origin in origins)

    @property
    def origins(self) -> list[str]:
        """The foreign pages that may change something and read the answers."""
        return sorted(self._origins)

    @classmethod
    def of(cls, listens_on: str, hosts: Sequence[str] | None, origins: Sequence[str]) -> "Access":
        """Return the access by the settings. Without hosts, all are allowed unless the service listens on loopback."""
        if hosts is None:
            hosts = () if is_loopback(listens_on) else (ANY,)
        return cls(hosts, origins)

    def admits_host(self, host: str | None) -> bool:
        """Return whether the service may be called by this Host. HTTP/1.0 clients send none; browsers always do."""
        if host is None or ANY in self._hosts:
            return True
        name = _name_of(host)
        return name in self._hosts or _is_loopback(name)

    def check(self, headers: Headers, *, safe: bool) -> None:
        """Raise HostRefused or OriginRefused. `safe` is whether the request changes nothing."""
        host, origin = headers.get("host"), headers.get("origin")
        if not self.admits_host(host):
            raise HostRefused(
                f"the service is not called {(host or 'by no name')[:SHOWN]}: use localhost,"
                " or name it in CELLAR_ALLOWED_HOSTS"
            )
        if safe or (origin is not None and self._admits_origin(origin, host)):
            return
        if origin is not None:
            raise OriginRefused(f"a page of {origin[:SHOWN]}, which CELLAR_ALLOWED_ORIGINS does not name")
        if headers.get("sec-fetch-site") in FOREIGN_SITES and ANY not in self._origins:
            raise OriginRefused("a page of another site, whose browser does not say which one")

    def _admits_origin(self, origin: str, host: str | None) -> bool:
        """Return whether a page may change something. The service's own pages may."""
        origin = origin.lower()
        return ANY in self._origins or origin in self._origins or origin.partition("://")[2] == (host or "").lower()


_is_loopback = memoized(is_loopback)


def _name_of(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


class AccessControl:
    """Refuses HTTP requests of foreign pages and under foreign names. `Streams` checks WebSockets."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http":
            try:
                self._access.check(Headers(scope=scope), safe=scope["method"] in SAFE)
            except CellarError as error:
                return await problem_of(error)(scope, receive, send)
        return await self._app(scope, receive, send)

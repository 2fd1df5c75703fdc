"""Who may ask: requests of foreign web pages, and of pages that call the service by a name of their own.

A browser lets every page send requests to any address, this machine's included, and open WebSockets to it. It says
which page asks (Origin), and by which name the page calls the service (Host). A page whose own name leads to the
service's address (DNS rebinding) has an Origin that fits, so both are looked at.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cellar.api.dependencies import CALLER
from cellar.api.errors.problems import problem_of
from cellar.errors import CellarError, HostRefused, OriginRefused
from cellar.ports import ANYBODY, Caller

ANY = "*"

SAFE = ("GET", "HEAD")
"""Methods that change nothing. What they answer a foreign page cannot read."""

FOREIGN_SITES = ("cross-site", "same-site")
"""What a browser's Sec-Fetch-Site says of a page that is not one of the service's own."""

SHOWN = 100
"""How much of a wrong header an error repeats, characters."""


def is_loopback(host: str) -> bool:
    """Return whether a name or an address always means the machine that it is said on.

    >>> is_loopback("localhost"), is_loopback("127.9.9.9"), is_loopback("::1"), is_loopback("cellar.example")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """What is let in.

    `hosts` are the names by which the service may be called, without ports, beside those of the machine itself; "*" are
    all. `origins` are the pages, beside the service's own, that may change something; "*" are all.
    """

    def __init__(self, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower() for origin in origins)

    @property
    def origins(self) -> list[str]:
        """The foreign pages that may change something, and read what they are answered."""
        return sorted(self._origins)

    @classmethod
    def of(cls, listens_on: str, hosts: Sequence[str] | None, origins: Sequence[str]) -> "Access":
        """Return what the settings say: where they name no hosts, all are let in unless only this machine is."""
        if hosts is None:
            hosts = () if is_loopback(listens_on) else (ANY,)
        return cls(hosts, origins)

    def admits_host(self, host: str | None) -> bool:
        """Return whether the service may be called so. No browser leaves out the Host; HTTP/1.0 clients do."""
        if host is None or ANY in self._hosts:
            return True
        name = _name_of(host)
        return name in self._hosts or is_loopback(name)

    def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:  # noqa: ARG002  # no header says it yet
        """Return who sends a request with these headers, whose names are in lower case."""
        return ANYBODY

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
        """Return whether a page may change something: one of the service's own may."""
        origin = origin.lower()
        return ANY in self._origins or origin in self._origins or origin.partition("://")[2] == (host or "").lower()


def _name_of(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


class AccessControl:
    """Note in the scope of an HTTP request who sends it, or refuse it.

    WebSockets are refused by the streams, which can say why.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http":
            try:
                self._access.check(Headers(scope=scope), safe=scope["method"] in SAFE)
                scope[CALLER] = self._access.caller(scope["headers"])
            except CellarError as error:
                return await problem_of(error)(scope, receive, send)
        return await self._app(scope, receive, send)

"""Parses Redis URLs: of one server, of nodes of a cluster, or of sentinels that know the primary.

    redis://[user:password@]host[:port][/db]                        one server
    unix://[user@]/path[?db=0&password=...]                         one server, by its socket
    redis+cluster://[user:password@]host[:port][,host[:port]...]    a cluster, by some of its nodes
    redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/db]
                                                                    the primary of `service`, by its sentinels

`rediss` instead of `redis` means TLS. User and password are those of the servers; sentinels can have their own with
`?sentinel_username=...&sentinel_password=...`, and `sentinel_tls=false` disables TLS to the sentinels alone. All other
options are those of redis-py (`ssl_ca_certs` and the like) and mean the same in every form.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import redis
from redis.asyncio.connection import SSLConnection
from redis.connection import parse_url

from cellar.errors import SettingsInvalid

REDIS_PORT, SENTINEL_PORT = 6379, 26379
_OWN_FIELDS = {"host", "port", "path", "db", "username", "password", "connection_class"}


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a Redis server and its connection options: `path` for a unix socket, else `host` and `port`."""

    host: str
    port: int
    path: str | None
    db: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Further options of the URL, as keyword arguments of redis-py."""

    @classmethod
    def parse(cls, url: str, *, port: int = REDIS_PORT) -> "Address":
        """Read `redis://`, `rediss://` or `unix://` with redis-py's own rules. Raise SettingsInvalid."""
        try:
            found = parse_url(url)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        except ValueError as error:
            raise SettingsInvalid(f"not a Redis URL: {_harmless(error)}") from None
        if url.startswith("unix://") and not found.get("path"):
            raise SettingsInvalid("a unix:// URL names the path of a socket")
        return cls(
            host=str(found.get("host", "localhost")),
            port=int(found.get("port", port)),
            path=found.get("path"),
            db=int(found.get("db", 0)),
            username=found.get("username"),
            password=found.get("password"),
            tls=_tls(found) if url.startswith("rediss://") else None,
            options={name: value for name, value in found.items() if name not in _OWN_FIELDS},
        )

    def at(self, host: str, port: int) -> "Address":
        """Return the address of another server with the same options."""
        return replace(self, host=host, port=port)

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of redis-py's clients except for host, port and database."""
        secrets = {"username": self.username, "password": self.password}
        return {**self.options, **secrets, **({"ssl": True} if self.tls is not None else {})}

    def __str__(self) -> str:
        """Return the address without its secrets, for messages."""
        return self.path if self.path is not None else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Some nodes of a cluster; the options of the first are used for all nodes."""

    seeds: tuple[Address, ...]

    def __str__(self) -> str:
        """Return the addresses without secrets, for messages."""
        return ",".join(map(str, self.seeds))


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The sentinels of a service. `primary` has the options of its servers; host and port in it are unused."""

    sentinels: tuple[Address, ...]
    service: str
    primary: Address

    def __str__(self) -> str:
        """Return the name of the service and its sentinels without secrets, for messages."""
        return f"{self.service} by the sentinels {','.join(map(str, self.sentinels))}"


def parse(url: str) -> Address | ClusterAddress | SentinelAddress:
    """Parse any of the forms above. Raise SettingsInvalid, whose text never contains a part of a password."""
    scheme, _, rest = url.partition("://")
    plain, _, kind = scheme.partition("+")
    if plain not in ("redis", "rediss") or kind not in ("cluster", "sentinel"):
        return Address.parse(url)
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    user, at, hosts = authority.rpartition("@")
    if not all(hosts.split(",")):
        raise SettingsInvalid(f"a {scheme}:// URL names hosts, parted by commas: {scheme}://host:port,host:port/...")
    parts = _Parts(plain, user + at, tuple(hosts.split(",")), path.rstrip("/"), query)
    return _cluster(parts) if kind == "cluster" else _sentinel(parts)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The pieces of a URL with several hosts."""

    scheme: str
    user: str
    hosts: tuple[str, ...]
    path: str
    query: str


def _cluster(parts: _Parts) -> ClusterAddress:
    seeds = tuple(Address.parse(f"{parts.scheme}://{parts.user}{host}/?{parts.query}") for host in parts.hosts)
    if parts.path not in ("", "0") or seeds[0].db:
        raise SettingsInvalid("a Redis cluster has no databases: its URL ends with the hosts")
    return ClusterAddress(seeds)


def _sentinel(parts: _Parts) -> SentinelAddress:
    service, _, db = parts.path.partition("/")
    if not service or not (db or "0").isdecimal():
        raise SettingsInvalid("a Sentinel URL ends with the name of the service and, if need be, the database: /name/0")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    username, password, tls = (options.pop(f"sentinel_{name}", None) for name in ("username", "password", "tls"))
    if tls not in (None, "true", "false"):
        raise SettingsInvalid("the option sentinel_tls of a Redis URL is true or false")
    query = urlencode(options)
    scheme = "redis" if tls == "false" else "rediss" if tls == "true" else parts.scheme
    secrets = "" if password is None else f"{quote(username or '', safe='')}:{quote(password, safe='')}@"
    return SentinelAddress(
        sentinels=tuple(
            replace(Address.parse(f"{scheme}://{secrets}{host}/?{query}", port=SENTINEL_PORT), db=0)
            for host in parts.hosts
        ),
        service=service,
        primary=Address.parse(f"{parts.scheme}://{parts.user}{parts.hosts[0]}/{db}?{query}"),
    )


def _harmless(error: ValueError) -> str:
    """Return redis-py's reason if it quotes nothing of the URL, because that may be a part of a password."""
    reason = str(error)
    if reason.startswith(("Invalid value for", "Redis URL must specify")):
        return reason
    return "host or port cannot be read (in a password, characters like / @ # are written as %2F %40 %23)"


def _tls(found: dict[str, Any]) -> ssl.SSLContext:
    """Return the TLS context that redis-py makes of the `ssl_...` options of a URL. Raise SettingsInvalid."""
    options = {name: value for name, value in found.items() if name.startswith("ssl_")}
    try:
        return SSLConnection(**options).ssl_context.get()
    except (redis.RedisError, OSError, TypeError, ValueError) as error:
        raise SettingsInvalid(f"options of the Redis URL for TLS: {error}") from None

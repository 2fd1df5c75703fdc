"""URLs: what each form names, and errors that show nothing of a password."""

import pytest

from cellar.errors import SettingsInvalid
from cellar.store.protocol.url import Address, ClusterAddress, SentinelAddress, parse


def test_urls_are_read_as_redis_py_reads_them() -> None:
    tcp = Address.parse("redis://me:s%2Fecret@example.org:7000/2")
    assert (tcp.host, tcp.port, tcp.db, tcp.username, tcp.password) == ("example.org", 7000, 2, "me", "s/ecret")
    assert (tcp.path, tcp.tls) == (None, None)
    unix = Address.parse("unix:///run/redis.sock?db=4")
    assert (unix.path, unix.db) == ("/run/redis.sock", 4)
    assert Address.parse("rediss://example.org").tls is not None


def test_an_address_is_shown_without_its_secrets() -> None:
    assert str(Address.parse("redis://me:secret@example.org:7000/2")) == "example.org:7000"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.org",
        "unix://",
        "redis://example.org?socket_timeout=soon",
        "rediss://example.org?ssl_ca_certs=/nowhere.pem",
        "rediss://example.org?ssl_cert_reqs=perhaps",
        "rediss://example.org?ssl_ciphers=none",
        "redis+cluster://",
        "redis+cluster://a,,b",
        "redis+cluster://a/1",
        "redis+cluster://a?db=1",
        "redis+sentinel://a",
        "redis+sentinel://a/",
        "redis+sentinel:///main",
        "redis+sentinel://a/main/first",
        "redis+sentinel://a/main?sentinel_tls=perhaps",
        "redis+nothing://a",
    ],
)
def test_what_is_no_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsInvalid):
        parse(url)


def test_the_nodes_of_a_cluster() -> None:
    cluster = parse("rediss+cluster://me:s%2Fecret@a:7000,b,[::1]:7002/0?ssl_check_hostname=false")
    assert isinstance(cluster, ClusterAddress)
    assert [(seed.host, seed.port) for seed in cluster.seeds] == [("a", 7000), ("b", 6379), ("::1", 7002)]
    for seed in cluster.seeds:
        assert (seed.username, seed.password, seed.db) == ("me", "s/ecret", 0)
        assert seed.tls is not None
        assert not seed.tls.check_hostname


def test_the_sentinels_of_a_service() -> None:
    watched = parse("redis+sentinel://me:secret@a,b:7000/main/3?socket_timeout=7")
    assert isinstance(watched, SentinelAddress)
    assert watched.service == "main"
    assert [(each.host, each.port, each.password, each.db) for each in watched.sentinels] == [
        ("a", 26379, None, 0),
        ("b", 7000, None, 0),
    ]
    there = watched.primary.at("c", 6380)
    assert (str(there), there.username, there.password, there.db) == ("c:6380", "me", "secret", 3)
    assert there.keywords() == {"username": "me", "password": "secret", "socket_timeout": 7.0}


def test_sentinels_have_secrets_and_encryption_of_their_own() -> None:
    watched = parse("rediss+sentinel://:secret@a/main?sentinel_username=x&sentinel_password=y%2Fz&sentinel_tls=false")
    assert isinstance(watched, SentinelAddress)
    (sentinel,) = watched.sentinels
    assert (sentinel.username, sentinel.password, sentinel.tls) == ("x", "y/z", None)
    assert (watched.primary.password, watched.primary.tls is None) == ("secret", False)
    assert "sentinel_password" not in watched.primary.keywords()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel", "rediss"])
def test_a_password_that_was_written_wrongly_is_not_shown(scheme: str) -> None:
    for url in (f"{scheme}://me:sec/ret@a/main", f"{scheme}://me:secret@a:sec/main", f"{scheme}://a:sec/ret@/main"):
        with pytest.raises(SettingsInvalid) as caught:
            parse(url)
        assert "sec" not in caught.value.detail

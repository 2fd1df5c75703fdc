"""URLs, and what Redis says when it refuses."""

import pytest
import redis

from cellar.errors import SettingsInvalid, StoreCorrupt, StoreUnavailable
from cellar.store.connect import Address, redis_errors, refusal, sync_client


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
    ],
)
def test_what_is_no_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsInvalid):
        Address.parse(url)


@pytest.mark.parametrize(
    "message",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "ERR Error running script (call to f_12): @user_script:43: @user_script: 43: -OOM command not allowed",
        "READONLY You can't write against a read only replica.",
        "MISCONF Redis is configured to save RDB snapshots, but",
        "LOADING Redis is loading the dataset in memory",
        "ERR max number of clients reached",
    ],
)
def test_a_refusal_has_applied_nothing(message: str) -> None:
    error = refusal(message)
    assert error is not None
    assert error.outcome == "not_applied"


@pytest.mark.parametrize("message", ["ERR unknown command 'OOMPH'", "WRONGTYPE Operation against", "ERR syntax error"])
def test_other_errors_are_no_refusals(message: str) -> None:
    assert refusal(message) is None


def test_a_client_sends_nothing_twice(redis_url: str) -> None:
    with sync_client(redis_url) as client:
        assert client.get_retry().get_retries() == 0
        assert client.ping()


def test_redis_errors_become_errors_of_the_tree(redis_url: str) -> None:
    with sync_client(redis_url) as client:
        with pytest.raises(StoreCorrupt), redis_errors():
            client.execute_command("NONSENSE")
        for raised, outcome in (
            (redis.ConnectionError("gone"), "unknown"),
            (redis.TimeoutError("slow"), "unknown"),
            (redis.BusyLoadingError("loading", status_code="LOADING"), "not_applied"),
            (redis.exceptions.OutOfMemoryError("full", status_code="OOM"), "not_applied"),
        ):
            with pytest.raises(StoreUnavailable) as caught, redis_errors(outcome="unknown"):
                raise raised
            assert caught.value.outcome == outcome

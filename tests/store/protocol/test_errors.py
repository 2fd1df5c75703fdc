"""What Redis says when it refuses."""

import pytest
import redis

from cellar.errors import StoreCorrupt, StoreUnavailable
from cellar.store.protocol.errors import redis_errors, refusal
from cellar.store.topology.factory import sync_client
from tests.redis_process import RedisProcess


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


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("NOPERM User cellar has no permissions to run the 'config|get' command", "may not run CONFIG|GET"),
        ("NOPERM this user has no permissions to run the 'info' command or its subcommand", "may not run INFO"),
        ("NOPERM No permissions to access a key", "may not touch a key"),
        ("NOPERM this user has no permissions to access one of the keys used as arguments", "may not touch a key"),
    ],
)
def test_a_right_that_is_missing_is_named(message: str, said: str) -> None:
    error = refusal(message)
    assert error is not None
    assert error.detail.startswith(f"the Redis user {said}")


def test_a_client_sends_nothing_twice(redis_process: RedisProcess) -> None:
    with sync_client(redis_process.url) as client:
        assert client.get_retry().get_retries() == 0
        assert client.ping()


def test_redis_errors_become_errors_of_the_tree(redis_process: RedisProcess) -> None:
    with sync_client(redis_process.url) as client:
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

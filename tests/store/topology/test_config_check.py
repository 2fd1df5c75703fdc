"""The warning at the start if processes have different replay windows."""

import pytest

from cellar.store.sessions.store import RedisSessions
from tests.redis_process import RedisProcess
from tests.store.conftest import OpenSessions

pytestmark = pytest.mark.anyio


async def warnings_of(store: RedisSessions, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a process with this store is warned of when it starts."""
    caplog.clear()
    await store.agree()
    return [record.getMessage() for record in caplog.records if record.name == "cellar.store.topology.health"]


async def test_whoever_has_another_window_than_the_last_is_warned(
    redis_url: str, open_sessions: OpenSessions, caplog: pytest.LogCaptureFixture
) -> None:
    wide, narrow = open_sessions(redis_url, window=32), open_sessions(redis_url, window=8)
    assert await warnings_of(wide, caplog) == []
    assert await warnings_of(wide, caplog) == []
    [warning] = await warnings_of(narrow, caplog)
    assert warning.startswith("CELLAR_REPLAY_WINDOW is 8 here, and was 32 in")
    assert await warnings_of(narrow, caplog) == []
    [warning] = await warnings_of(wide, caplog)
    assert warning.startswith("CELLAR_REPLAY_WINDOW is 32 here, and was 8 in")


async def test_a_redis_that_cannot_be_asked_stops_no_other(
    redis_process: RedisProcess, open_sessions: OpenSessions, caplog: pytest.LogCaptureFixture
) -> None:
    wide, narrow = open_sessions(redis_process.url, window=32), open_sessions(redis_process.url, window=8)
    await wide.agree()
    with redis_process.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "resetkeys", f"~{wide.keys.probe.decode()}")
        assert await warnings_of(narrow, caplog) == []
        client.execute_command("ACL", "SETUSER", "default", "allkeys")
        assert len(await warnings_of(narrow, caplog)) == 1
    redis_process.kill()
    assert await warnings_of(wide, caplog) == []

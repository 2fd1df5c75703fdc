"""A service, a proxy and clients that are killed in turn: nothing is lost or doubled. `make client-kills` is longer."""

from pathlib import Path

import pytest

from tests.clients.python.kills import run

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled(redis_server_binary: Path, kernel_directory: Path) -> None:
    result = await run(6, kernel_directory, redis_server_binary)
    assert (result.lost, result.doubled, result.wrong) == (0, 0, 0), list(result.lines())
    assert result.kills == {"service": 2, "proxy": 2, "client": 2}
    assert result.steps > 6 * 3 * 5

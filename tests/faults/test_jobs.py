"""A kill of each kind of what trains; `python -m tests.faults.jobs` is the same with 50."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.jobs import GIVE_UP_S, KINDS, Ground, ground


@pytest.fixture(scope="module")
def there(redis_server_binary: Path, kernel_directory: Path) -> Iterator[Ground]:
    """Yield a service with a worker."""
    with ground(redis_server_binary, kernel_directory, epochs=150, job_lease_s="2") as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_killed_runs_again_and_ends_with_equal_bits(kind: str, there: Ground) -> None:
    found = KINDS[kind](there, 1, Random(f"suite {kind}"))
    assert (found.equal, found.kills, found.faults) == (1, 1, [])
    assert found.slowest_s < GIVE_UP_S, "the bar of ten seconds is that of the command: the suite is not timed"

"""Changes of a part of the state: rows that begin anew, states that are replaced; once, also under races."""

import asyncio

import numpy as np
import pytest

from cellar.errors import EpochChanged, FingerprintMismatch, InvalidInput, NotFinite, ShapeMismatch
from cellar.ports import APPEND, Identity, SessionKey
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import history
from tests.sessions.session_calls import a_step, at, begin, position

pytestmark = pytest.mark.anyio


async def rows_of(service: Service, key: SessionKey) -> list[list[float]]:
    """Return the state, row by row."""
    parts = (await service.states.read(key)).parts
    # the library is not typed
    return np.concatenate([part.values for part in parts], axis=1).tolist()  # type: ignore[no-any-return]


async def three_rows(service: Service) -> SessionKey:
    """Return a session of three rows that has made a step."""
    key = await begin(service, batch_size=3)
    await service.sessions.step(key, a_step(1, 2, 3), APPEND)
    return key


@pytest.mark.parametrize("rows", [[0, 2], [2, 0, 2], [True, False, True]])
async def test_rows_that_are_named_begin_anew(service: Service, rows: list[int] | list[bool]) -> None:
    key = await three_rows(service)
    before = await position(service, key)
    answer = await service.sessions.reset(key, APPEND, rows=rows)
    assert answer.position.step == 0
    assert answer.position.epoch != before.epoch
    assert await rows_of(service, key) == [history([]), history([2]), history([])]
    await service.sessions.step(key, a_step(4, 5, 6), APPEND)
    assert await rows_of(service, key) == [history([4]), history([2, 5]), history([6])]


@pytest.mark.parametrize("identity", ["position", "key"])
async def test_a_reset_of_rows_happens_once(service: Service, identity: str) -> None:
    key = await three_rows(service)
    who = at(await position(service, key)) if identity == "position" else Identity(key="k")
    first = await service.sessions.reset(key, who, rows=[1])
    await service.sessions.step(key, a_step(4, 5, 6), APPEND)
    again = await service.sessions.reset(key, who, rows=[1])
    assert (first.position, first.replayed) == (again.position, False)
    assert again.replayed
    assert await rows_of(service, key) == [history([1, 4]), history([5]), history([3, 6])]
    with pytest.raises((EpochChanged, FingerprintMismatch)):
        await service.sessions.reset(key, who, rows=[2])


async def test_rows_that_are_none_are_refused(service: Service) -> None:
    key = await three_rows(service)
    before = await position(service, key)
    wrong: list[tuple[list[int] | list[bool], str]] = [([3], "/rows/0"), ([0, -1], "/rows/1"), ([True], "/rows")]
    for rows, pointer in wrong:
        with pytest.raises(InvalidInput) as caught:
            await service.sessions.reset(key, APPEND, rows=rows)
        assert caught.value.pointer == pointer
    assert await position(service, key) == before


async def test_states_that_are_not_named_stay_as_they_are(service: Service) -> None:
    key = await three_rows(service)
    values = np.array([[7], [8], [9]], dtype=np.float32)
    answer = await service.states.write(key, {(1, "h"): values}, APPEND, whole=False)
    assert answer.position.step == 0
    expected = [history([row]) for row in (1, 2, 3)]
    assert await rows_of(service, key) == [
        [row[0], *value, row[2]] for row, value in zip(expected, values, strict=True)
    ]
    for parts, error in (
        ({(2, "h"): values}, InvalidInput),
        ({(1, "h"): values[:2]}, ShapeMismatch),
        ({(1, "h"): values * np.float32(np.inf)}, NotFinite),
    ):
        with pytest.raises(error):
            await service.states.write(key, parts, APPEND, whole=False)


async def test_changes_of_parts_by_two_processes_at_once_all_happen(
    redis_url: str, start_service: StartService
) -> None:
    """Each is made on what the other left: no row comes back that was reset."""
    one, other = start_service(redis_url), start_service(redis_url)
    key = await three_rows(one)
    for service in (one, other):
        await rows_of(service, key)
    await asyncio.gather(
        *(service.sessions.reset(key, APPEND, rows=[row]) for service, row in ((one, 0), (other, 1), (one, 2))),
        *(
            service.states.write(key, {(1, "c"): np.full((3, 1), 5, dtype=np.float32)}, APPEND, whole=False)
            for service in (one, other)
        ),
    )
    found = await rows_of(one, key)
    assert [row[:2] for row in found] == [[0, 0]] * 3
    assert {row[2] for row in found} <= {0.0, 5.0}

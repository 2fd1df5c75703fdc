"""Sequences of any length: in pieces, in one request, and over a stream."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar_client import AsyncClient, Client
from cellar_client import errors as client_errors
from cellar_client.arrays import frames, npy
from cellar_client.arrays.inputs import Floats, as_floats, grouped
from cellar_client.sync.driver import Driver
from tests.clients.python.sessions.test_session import Table, outputs

READINGS = [[value] for value in range(25)]


def test_steps_are_sent_in_sequences(client: Client) -> None:
    session = client.session(model="exact")
    answers = list(session.sequences(iter(READINGS), chunk=10))
    assert [answer.output.shape for answer in answers] == [(10, 1), (10, 1), (5, 1)]
    assert np.concatenate([answer.output for answer in answers])[:, 0].tolist() == outputs(*range(25))
    assert answers[-1].step == 25
    tables = list(session.sequences(Table(READINGS, index=np.arange(25), columns=["x"]), chunk=20))
    assert [len(answer.output.index) for answer in tables] == [20, 5]


def test_steps_are_sent_in_sequences_over_a_stream(client: Client, service_url: str) -> None:
    with client.session(model="exact").stream() as stream:
        answers = list(stream.run(np.array(READINGS), chunk=10))
        assert np.concatenate([answer.output for answer in answers])[:, 0].tolist() == outputs(*range(25))
        assert stream.taken == 3

    async def source() -> AsyncIterator[list[int]]:
        for reading in READINGS:
            yield reading

    async def conversation() -> list[int]:
        async with AsyncClient(service_url) as other:
            session = await other.session(model="exact")
            found = [answer.output async for answer in session.sequences(source(), chunk=10)]
            async with (await other.session(model="exact")).stream() as stream:
                again = [answer.output async for answer in stream.run(source(), chunk=10)]
            assert np.array_equal(np.concatenate(found), np.concatenate(again))
            return [int(value) for value in np.concatenate(found)[:, 0]]

    assert asyncio.run(conversation()) == outputs(*range(25))


@pytest.mark.parametrize("commit", ["chunk", "all"])
def test_a_file_is_applied_in_one_request(client: Client, tmp_path: Path, commit: str) -> None:
    path = tmp_path / "readings.npy"
    np.save(path, np.arange(100_000).reshape(-1, 1) % 7)
    session = client.session(model="exact")
    answer = session.long_sequence(np.load(path, mmap_mode="r"), commit=commit)
    assert answer.output.tolist() == outputs(*(value % 7 for value in range(100_000)))[-1:]
    assert (answer.step, session.position, session.count) == (100_000, answer.position, 1)
    assert session.step([1]).step == 100_001


def test_a_fault_inside_a_long_sequence(client: Client) -> None:
    inputs = np.zeros((70_000, 1))
    inputs[69_000] = np.inf
    session = client.session(model="exact")
    with pytest.raises(client_errors.NotFinite):
        session.long_sequence(inputs, commit="all")
    assert session.step([1]).step == 1
    before = session.position
    with pytest.raises(client_errors.NotFinite) as caught:
        session.long_sequence(inputs)
    assert session.position == (caught.value.position or before)  # whether the first chunk was run before it was found
    assert session.step([1]).step in (2, 65_536 + 2)
    with pytest.raises(client_errors.ShapeMismatch):
        session.long_sequence(np.zeros((3_000_000, 2)))


def test_a_long_sequence_continues_after_a_crash(client: Client, tmp_path: Path) -> None:
    session = client.session(model="exact", state=tmp_path / "session")
    session.step([5])
    before = (tmp_path / "session").read_bytes()
    inputs = np.arange(10.0).reshape(-1, 1)
    session.long_sequence(inputs)
    lines = (tmp_path / "session").read_bytes().splitlines(keepends=True)
    (tmp_path / "session").write_bytes(lines[-1])  # the process ended before its next request
    again = client.session(session.name, state=tmp_path / "session")
    answer = again.long_sequence(inputs)
    assert (answer.replayed, answer.step) == (True, 11)
    assert again.step([1]).step == 12
    assert before


def test_a_long_sequence_is_sent_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    session = client.session(model="exact")
    perform, lost = Driver._perform, list[int]()

    def lossy(self: Driver, effect: Any) -> Any:
        reply = perform(self, effect)
        if not lost:
            lost.append(1)
            raise client_errors_lost()
        return reply

    monkeypatch.setattr(Driver, "_perform", lossy)
    answer = session.long_sequence([[1], [2], [3]])
    assert (answer.step, answer.replayed, lost) == (3, True, [1])
    assert session.step([4]).output.tolist() == outputs(1, 2, 3, 4)[3:]


def client_errors_lost() -> Exception:
    """Return the error of a lost reply."""
    from cellar_client.core.effects import ConnectionLost

    return ConnectionLost("lost")


def test_the_parts_of_an_npy_file_are_the_file() -> None:
    array: Floats = np.arange(300_000, dtype=np.float32).reshape(-1, 3)
    assert b"".join(npy.parts(array)) == npy.dump(array)
    assert max(map(len, npy.parts(array))) <= npy.PART_BYTES
    assert npy.load(b"".join(npy.parts(np.zeros((0, 3))))).shape == (0, 3)


def test_groups() -> None:
    assert list(grouped([1, 2, 3], 2)) == [[1, 2], [3]]
    assert [part.tolist() for part in grouped(np.arange(4), 2)] == [[0, 1], [2, 3]]
    assert list(grouped(iter([1, 2, 3]), 2)) == [[1, 2], [3]]
    with pytest.raises(ValueError, match="at least one"):
        list(grouped([1], 0))


def test_steps_are_divided_into_frames() -> None:
    wide = frames.Step(0, as_floats(np.zeros((1, 1, frames.MOST_BYTES // 8))))
    assert [len(group) for group in frames.split([wide] * 5)] == [2, 2, 1]
    small = frames.Step(0, as_floats(np.zeros((1, 1, 1))))
    assert [len(group) for group in frames.split([small] * 1500)] == [1024, 476]
    assert list(frames.split([])) == []

"""Frames are those of the service."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.frames import pack_answers
from cellar.wire.frames import frames as service
from cellar_client import CellarError
from cellar_client.arrays import frames
from tests.device_names import NAMES

POSITION = f"{'ab' * 8}.7.{'cd' * 16}"
PLACE = service.Place(bytes.fromhex("ab" * 8), 7, bytes.fromhex("cd" * 16))


def test_the_service_reads_the_steps() -> None:
    inputs = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    content = frames.pack(
        [
            frames.Step(1, inputs, sequence=True, session="s", position=POSITION, reset=b"\1\0"),
            frames.Step(2, inputs[:1], writer="gauge", seq=9),
        ]
    )
    first, second = service.unpack_steps(content)
    assert (first.session, first.sequence, first.tag, first.position, first.reset) == ("s", True, 1, PLACE, b"\1\0")
    np.testing.assert_array_equal(first.inputs, inputs)
    assert (second.session, second.sequence, second.writer, second.seq) == ("", False, "gauge", 9)


@given(st.one_of(NAMES, st.just("")), st.one_of(NAMES, st.just("")))
def test_the_service_reads_the_names(session: str, writer: str) -> None:
    content = frames.pack([frames.Step(1, np.zeros((1, 1, 1), np.float32), session=session, writer=writer)])
    (step,) = service.unpack_steps(content)
    assert (step.session, step.writer or "") == (session, writer)


def test_the_answers_of_the_service_are_read() -> None:
    outputs = np.arange(4, dtype=np.float32).reshape(2, 1, 2)
    answers = [
        service.Answer(1, 200, PLACE, outputs, replayed=True),
        service.Answer(2, 200, PLACE, None, replayed=True),
        service.Answer(3, 404, problem=b'{"type": "urn:cellar:problem:session_unknown"}'),
    ]
    first, second, third = frames.unpack(pack_answers(answers))
    np.testing.assert_array_equal(first.outputs, outputs)
    assert (first.position, first.step, first.replayed, second.outputs) == (POSITION, 7, True, None)
    assert third.problem == {"type": "urn:cellar:problem:session_unknown"}
    with pytest.raises(CellarError):
        frames.unpack(pack_answers(answers)[:-1])
    with pytest.raises(CellarError):
        frames.unpack(b"Cell")

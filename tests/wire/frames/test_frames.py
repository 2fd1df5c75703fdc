"""Frames: what goes in comes out, and bytes that are no frame are refused for what they are."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.frames import pack_answers, pack_steps, unpack_answers, unpack_problem
from cellar.errors import MalformedBody
from cellar.wire.frames import frames, layout
from cellar.wire.frames.frames import Answer, Place, Step
from cellar.wire.frames.layout import HEADER, STEP

PLACE = Place(bytes.fromhex("00112233445566ff"), 7, bytes(range(16)))
INPUTS = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
FULL = Step("s", INPUTS, False, 9, PLACE, None, None, None, "a key", b"\0\1", 250)
BY_WRITER = Step("session-2", INPUTS.reshape(3, 2, 1), True, writer="w", seq=2**63)
FRAME = pack_steps([FULL, BY_WRITER, Step("x", INPUTS, step=0)])
ANSWERS = pack_answers(
    [Answer(1, 200, PLACE, INPUTS), Answer(2, 200, PLACE, None, True), Answer(3, 404, problem=b'{"status":404}')]
)

WORDS = st.text(st.characters(max_codepoint=127), max_size=255)
SHAPES = st.tuples(*[st.integers(1, 4)] * 3)
PLACES = st.builds(
    Place,
    st.binary(min_size=8, max_size=8),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=16, max_size=16),
)
NUMBERS = SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(width=32)))
TAGS = st.integers(0, 2**32 - 1)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Return any step that a record can hold."""
    inputs, position = draw(NUMBERS), draw(st.none() | PLACES)
    counts = draw(st.none() | st.integers(0, 2**64 - 1)) if position is None else None
    rows = inputs.shape[1]
    return Step(
        session=draw(WORDS),
        inputs=inputs,
        sequence=draw(st.booleans()),
        tag=draw(TAGS),
        position=position,
        step=counts,
        writer=draw(WORDS) or None,
        seq=draw(st.none() | st.integers(0, 2**64 - 1)),
        key=draw(WORDS) or None,
        reset=draw(st.none() | st.binary(min_size=rows, max_size=rows)),
        timeout_ms=draw(TAGS),
    )


def same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Return whether two records are equal, their arrays bit for bit."""

    def plain(value: object) -> object:
        return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value

    return [*map(plain, one)] == [*map(plain, other)]


@given(st.lists(steps(), max_size=5))
def test_steps_come_back_as_they_went(given: list[Step]) -> None:
    found = frames.unpack_steps(pack_steps(given))
    assert len(found) == len(given)
    assert all(map(same, found, given))


VERSIONS = st.integers(0, 2**64 - 1)


@given(
    st.lists(
        st.builds(Answer, TAGS, st.just(200), PLACES, st.none() | NUMBERS, st.booleans(), version=VERSIONS), max_size=5
    )
)
def test_answers_come_back_as_they_went(given: list[Answer]) -> None:
    found = unpack_answers(pack_answers(given))
    assert len(found) == len(given)
    assert all(map(same, found, given))


def test_a_problem_comes_back_as_it_went() -> None:
    assert unpack_answers(ANSWERS)[2] == Answer(3, 404, problem=b'{"status":404}')


def test_inputs_lie_in_the_frame() -> None:
    inputs = frames.unpack_steps(FRAME)[0].inputs
    assert not inputs.flags.writeable
    assert not inputs.flags.owndata
    assert inputs.flags.c_contiguous
    assert inputs.flags.aligned


def test_the_bytes_of_version_1_stay_what_they_are() -> None:
    frame = pack_steps([FULL])
    assert frame == (
        b"Cell\x01\x01\0\0" + struct.pack("<IIII", 1, 6, 8, 0)
        + struct.pack("<IBBBBIIII", 9, 2 | 16, 1, 0, 5, 1, 2, 3, 250)
        + PLACE[0] + struct.pack("<Q", 7) + PLACE[2] + bytes(8)
        + INPUTS.tobytes() + b"sa key\0\1"
    )  # fmt: skip
    answer = pack_answers([Answer(9, 200, PLACE, INPUTS, True)])
    assert answer == (
        b"Cell\x01\x02\0\0" + struct.pack("<IIII", 1, 6, 0, 0)
        + struct.pack("<IHHIIII", 9, 200, 1, 1, 2, 3, 0)
        + PLACE[0] + struct.pack("<Q", 7) + PLACE[2] + bytes(8) + INPUTS.tobytes()
    )  # fmt: skip


@pytest.mark.parametrize("frame", [FRAME, ANSWERS], ids=["steps", "answers"])
def test_every_truncation_is_refused(frame: bytes) -> None:
    for size in range(len(frame)):
        with pytest.raises(MalformedBody):
            frames.unpack_steps(frame[:size])
        with pytest.raises(MalformedBody):
            unpack_answers(frame[:size])


def changed(offset: int, code: str, value: int, frame: bytes = FRAME) -> bytes:
    """Return the frame with another number at an offset."""
    data = bytearray(frame)
    struct.pack_into(f"<{code}", data, offset, value)
    return bytes(data)


FIRST = HEADER.size


@pytest.mark.parametrize(
    ("frame", "offset"),
    [
        (changed(0, "B", ord("c")), 0),
        (changed(4, "B", 2), 4),
        (changed(5, "B", 0), 5),
        (changed(5, "B", 3), 5),
        (changed(5, "B", 4), 5),
        (changed(5, "B", layout.Kind.ANSWERS), 5),
        (changed(6, "H", 1), 5),
        (changed(20, "I", 1), 5),
        (changed(FIRST + 4, "B", 128), FIRST),
        (changed(FIRST + 5, "B", 255), FIRST),
        (changed(FIRST + 8, "I", 2**32 - 1), FIRST),
        (changed(FIRST + STEP.size + 12, "I", 2**32 - 1), FIRST + STEP.size),
        (changed(FIRST + 8, "I", 0), None),
        (changed(FIRST + 2 * STEP.size + 5, "B", 0), None),
        (changed(8, "I", 2**32 - 1), None),
        (changed(12, "I", 2**32 - 1), None),
        (FRAME + b"x", None),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(frame: bytes, offset: int | None) -> None:
    with pytest.raises(MalformedBody) as caught:
        frames.unpack_steps(frame)
    assert caught.value.offset == offset


def test_sizes_of_nothing_may_be_anything() -> None:
    empty = pack_steps([Step("s", np.zeros((0, 1, 1), dtype=np.float32))])
    (step,) = frames.unpack_steps(changed(FIRST + 12, "Q", 2**64 - 1, empty))
    assert step.inputs.shape == (0, 0, 0)


@given(st.binary(max_size=300), st.integers(0, len(FRAME)))
def test_random_bytes_are_frames_or_refused(noise: bytes, at: int) -> None:
    for data in (noise, FRAME[:at] + noise, FRAME[:at] + noise + FRAME[at + len(noise) :]):
        with suppress(MalformedBody):
            frames.unpack_steps(data)


def test_a_stream_of_answers_may_end_with_a_problem() -> None:
    frame = frames.pack_problem(b'{"status":400}')
    assert unpack_problem(frame) == b'{"status":400}'
    assert unpack_problem(ANSWERS) is None
    with pytest.raises(MalformedBody):
        unpack_answers(frame)

"""Frames read and written column by column say what they say record by record."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.frames import pack_answers, pack_steps
from cellar.errors import MalformedBody
from cellar.wire.frames import frames, layout
from cellar.wire.frames.columns import FEWEST, pack_in_a_row, pack_outputs, plain_steps
from cellar.wire.frames.frames import Answer, Place, Step

PLACE = Place(bytes(7) + b"\1", 7, bytes(range(15)) + b"\0")

TAGS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=63)
PLACES = st.builds(Place, st.binary(min_size=8, max_size=8), COUNTS, st.binary(min_size=16, max_size=16))


@given(st.lists(st.tuples(NAMES, TAGS, COUNTS), min_size=FEWEST, max_size=20), st.integers(1, 3), st.booleans())
def test_plain_steps_are_read_as_records_are(given: list[tuple[str, int, int]], rows: int, numbered: bool) -> None:
    inputs = np.random.default_rng(0).standard_normal((len(given), 1, rows, 2)).astype(np.float32)
    frame = pack_steps(
        [
            Step(name, one, tag=tag, step=step if numbered else None)
            for (name, tag, step), one in zip(given, inputs, strict=True)
        ]
    )
    found, expected = plain_steps(frame), frames.unpack_steps(frame)
    assert found is not None
    assert found.sessions == [step.session for step in expected]
    assert found.tags.tolist() == [step.tag for step in expected]
    assert found.numbers == ([step.step for step in expected] if numbered else None)
    assert found.inputs.tobytes() == b"".join([step.inputs.tobytes() for step in expected])
    assert found.inputs.shape[1:] == expected[0].inputs.shape
    assert not found.inputs.flags.writeable


ONE = Step("s", np.ones((1, 2, 3), np.float32))

OTHERS: dict[str, dict[str, Any]] = {
    "a sequence": {"sequence": True},
    "a position": {"position": PLACE},
    "a step": {"step": 7},
    "a writer": {"writer": "w", "seq": 1},
    "a key": {"key": "k"},
    "a reset": {"reset": b"\0\1"},
    "a timeout": {"timeout_ms": 5},
    "two steps": {"inputs": np.ones((2, 2, 3), np.float32)},
    "other rows": {"inputs": np.ones((1, 3, 2), np.float32)},
    "other features": {"inputs": np.ones((1, 2, 4), np.float32)},
    "no numbers": {"inputs": np.ones((1, 0, 3), np.float32)},
    "an infinity": {"inputs": np.full((1, 2, 3), np.inf, np.float32)},
    "no number": {"inputs": np.full((1, 2, 3), np.nan, np.float32)},
}


@pytest.mark.parametrize("place", [0, 3, FEWEST - 1])
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_one_record_of_another_form_lets_all_be_read_one_by_one(other: dict[str, Any], place: int) -> None:
    steps = [ONE] * FEWEST
    assert plain_steps(pack_steps(steps)) is not None
    steps[place] = ONE._replace(**other)
    assert plain_steps(pack_steps(steps)) is None


def test_few_records_are_read_one_by_one() -> None:
    assert plain_steps(pack_steps([ONE] * (FEWEST - 1))) is None
    assert plain_steps(pack_steps([])) is None


@pytest.mark.parametrize("cut", [-1, -2])
def test_what_is_no_frame_is_refused(cut: int) -> None:
    frame = pack_steps([ONE] * FEWEST)
    with pytest.raises(MalformedBody):
        plain_steps(frame[:cut])
    with pytest.raises(MalformedBody):
        plain_steps(pack_answers([Answer(1, 200, PLACE, ONE.inputs)] * FEWEST))


@pytest.mark.parametrize(("offset", "value"), [(5, 2), (16, 4)], ids=["text", "numbers"])
def test_sizes_that_do_not_add_up_are_left_to_the_records(offset: int, value: int) -> None:
    """They say which record it is."""
    frame = bytearray(pack_steps([ONE] * FEWEST))
    for record in range(FEWEST):
        frame[layout.HEADER.size + record * layout.STEP.size + offset] = value
    assert plain_steps(bytes(frame)) is None
    with pytest.raises(MalformedBody):
        frames.unpack_steps(bytes(frame))


VERSIONS = st.integers(0, 999_999_999)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))


@given(st.lists(st.tuples(TAGS, PLACES, SHAPES, st.booleans(), VERSIONS), min_size=1, max_size=9))
def test_outputs_are_packed_as_answers_are(given: list[tuple[int, Place, tuple[int, int, int], bool, int]]) -> None:
    outputs = [np.random.default_rng(0).standard_normal(shape).astype(np.float32) for _, _, shape, _, _ in given]
    answers = [
        Answer(tag, 200, place, output, replayed, version=version)
        for (tag, place, _, replayed, version), output in zip(given, outputs, strict=True)
    ]
    tags, places, shapes, replayed, versions = zip(*given, strict=True)
    steps, rows, _ = zip(*shapes, strict=True)
    packed = pack_outputs(tags, places, steps, rows, [output.tobytes() for output in outputs], replayed, versions)
    assert frames.join_answers([packed]) == pack_answers(answers)
    failed = frames.pack_answer(Answer(9, 404, problem=b"{}"))
    assert frames.join_answers([packed, failed]) == pack_answers([*answers, Answer(9, 404, problem=b"{}")])


@given(st.lists(TAGS, min_size=1, max_size=9), PLACES, SHAPES, VERSIONS)
def test_steps_in_a_row_are_packed_as_answers_are(
    tags: list[int], place: Place, shape: tuple[int, int, int], version: int
) -> None:
    place = place._replace(step=min(place.step, 2**53))
    random = np.random.default_rng(0)
    outputs = random.standard_normal((len(tags), 1, *shape[1:])).astype(np.float32)
    digests = [random.bytes(16) for _ in tags]
    answers = [
        Answer(tag, 200, Place(place.epoch, place.step + at, digest), output, version=version)
        for at, (tag, digest, output) in enumerate(zip(tags, digests, outputs, strict=True), 1)
    ]
    packed = pack_in_a_row(np.array(tags, np.uint32), place, b"".join(digests), shape[1], outputs.tobytes(), version)
    assert frames.join_answers([packed]) == pack_answers(answers)

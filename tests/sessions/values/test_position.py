"""Positions, digests and fingerprints."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import InvalidInput
from cellar.ports import Position
from cellar.sessions.values.position import advance, fingerprint, new_epoch, parse_position, start_of

EPOCH = bytes.fromhex("0123456789abcdef")
values = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=12)


def inputs(*numbers: float) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    return np.array(numbers, dtype=np.float32).reshape(len(numbers), 1, 1)


@given(values, st.integers(0, 11))
def test_the_digest_does_not_depend_on_how_steps_are_cut(numbers: list[float], cut: int) -> None:
    whole = advance(start_of(EPOCH), inputs(*numbers))
    cut = min(cut, len(numbers) - 1)
    parts = start_of(EPOCH)
    for part in (numbers[:cut], numbers[cut:]):
        parts = advance(parts, inputs(*part)) if part else parts
    assert parts == whole
    assert whole.step == len(numbers)


@given(values, values)
def test_the_digest_tells_histories_apart(one: list[float], other: list[float]) -> None:
    same = inputs(*one).tobytes() == inputs(*other).tobytes()
    assert (advance(start_of(EPOCH), inputs(*one)) == advance(start_of(EPOCH), inputs(*other))) == same


def test_the_digest_tells_which_rows_were_reset_and_when() -> None:
    steps = np.zeros((2, 2, 1), np.float32)
    one, both = np.array([[1, 0]], np.uint8), np.array([[1, 1]], np.uint8)
    start = start_of(EPOCH)
    found = {
        advance(start, steps),
        advance(start, steps, one),
        advance(start, steps, both),
        advance(advance(start, steps[:1]), steps[1:], one),
    }
    assert len(found) == 4
    assert advance(advance(start, steps[:1], one), steps[1:]) == advance(start, steps, one)


def test_the_digest_depends_on_the_epoch() -> None:
    assert start_of(EPOCH).digest != start_of(bytes.fromhex("fedcba9876543210")).digest


@given(st.integers(0, 2**53), st.binary(min_size=16, max_size=16))
def test_a_position_is_read_as_it_is_written(step: int, digest: bytes) -> None:
    position = Position(EPOCH, step, digest)
    assert parse_position(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        f"{EPOCH.hex()}.1",
        f"{EPOCH.hex()}.-1.{'0' * 32}",
        f"{EPOCH.hex()}.01.{'0' * 32}",
        f"{EPOCH.hex()}.{2**53 + 1}.{'0' * 32}",
        f"{EPOCH.hex().upper()}.1.{'0' * 32}",
        f"{EPOCH.hex()}.1.{'0' * 31}",
        f"{EPOCH.hex()}.1.{'0' * 32}\n",
        f"{EPOCH.hex()}.\u0661.{'0' * 32}",
    ],
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_position(text)
    assert caught.value.pointer == "/position"


def test_fingerprints_tell_kind_shape_and_bytes() -> None:
    one = np.zeros((1, 2, 3), dtype=np.float32)
    marks = {
        fingerprint("step", one),
        fingerprint("sequence", one),
        fingerprint("step", one.reshape(1, 3, 2)),
        fingerprint("step", one + 1),
        fingerprint("step", one, names="a"),
        fingerprint("step", one, np.array([True, False])),
        fingerprint("step", one, np.array([False, True])),
        fingerprint("reset"),
    }
    assert len(marks) == 8
    assert fingerprint("step", one) == fingerprint("step", one.copy())


def test_an_epoch_is_decided_by_session_place_and_request() -> None:
    place = start_of(EPOCH)
    epochs = {
        new_epoch(EPOCH, place, b"a"),
        new_epoch(EPOCH, place, b"b"),
        new_epoch(EPOCH, advance(place, inputs(1)), b"a"),
        new_epoch(bytes.fromhex("fedcba9876543210"), place, b"a"),
    }
    assert len(epochs) == 4
    assert new_epoch(EPOCH, place, b"a") in epochs

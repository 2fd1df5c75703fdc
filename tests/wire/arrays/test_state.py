"""State blobs."""

import numpy as np
import pytest

from cellar.errors import StoreCorrupt
from cellar.wire.arrays.state import dump, load


def test_bytes_are_little_endian_rows() -> None:
    state = np.array([[1.0, -0.0], [2.0, 0.5]], dtype=np.float32)
    assert dump(state) == bytes.fromhex("0000803f 00000080 00000040 0000003f")
    assert load(dump(state), 2, 2).tobytes() == state.tobytes()


def test_a_view_is_written_as_what_it_shows() -> None:
    state = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(load(dump(state[:, 1:3]), 3, 2), state[:, 1:3])


def test_a_network_without_state_has_an_empty_blob() -> None:
    assert load(dump(np.empty((3, 0), dtype=np.float32)), 3, 0).shape == (3, 0)


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 12])
def test_another_length_is_corrupt(data: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        load(data, 1, 2)

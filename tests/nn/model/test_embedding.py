"""Embeddings: ids that are none, and gradients in one order."""

import numpy as np
import pytest

from cellar.engine import Floats, Ints
from cellar.errors import IdUnknown
from cellar.nn.model.embedding import add_table_gradient
from tests.nn.golden.cases import dense, embedding, network
from tests.nn.oracle import make_network


@pytest.mark.parametrize("fault", [4, -1, 0.5, 3.0000002, 1e30])
def test_what_is_no_id_is_refused(fault: float) -> None:
    built = make_network(network(1, embedding(4, 2), dense(1)))
    inputs = np.array([[[0], [3]], [[1], [fault]]], np.float32)
    built.check_inputs(inputs[:1])
    with pytest.raises(IdUnknown, match="step 1, row 1") as caught:
        built.check_inputs(inputs, "/data/inputs")
    assert caught.value.pointer == "/data/inputs"
    assert caught.value.expected == "a whole number from 0 to 3"
    assert float(caught.value.actual or "") == np.float32(fault)


def test_numbers_are_no_ids() -> None:
    make_network(network(1, dense(1))).check_inputs(np.full((1, 1, 1), -0.5, np.float32))


def test_the_gradient_is_summed_from_the_last_step_to_the_first_and_over_rows_in_order() -> None:
    """In float32, where every other order would give another sum."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, (9, 5, 1)).astype(np.float32)
    d_found = (rng.normal(size=(9, 5, 2)) * 10.0 ** rng.integers(-4, 5, (9, 5, 1))).astype(np.float32)
    lengths = np.array([9, 0, 3, 8, 5], np.int32)
    expected = np.zeros((3, 2), np.float32)
    for step in reversed(range(9)):
        for row in range(5):
            if step < lengths[row]:
                expected[int(ids[step, row, 0])] += d_found[step, row]
    assert table_gradient(ids, d_found, lengths).tobytes() == expected.tobytes()
    later = table_gradient(ids[4:], d_found[4:], lengths - 4)
    add_table_gradient(later, ids[:4], d_found[:4], lengths)
    assert later.tobytes() == expected.tobytes()
    backwards = table_gradient(ids[::-1], d_found[::-1], None)
    assert table_gradient(ids, d_found, None).tobytes() != backwards.tobytes()


def table_gradient(ids: Floats, d_found: Floats, lengths: Ints | None) -> Floats:
    """Return the gradient of a table of three rows of two numbers."""
    found = np.zeros((3, 2), np.float32)
    add_table_gradient(found, ids, d_found, lengths)
    return found

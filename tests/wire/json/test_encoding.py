"""Long arrays are encoded in parts, to the same text as at once."""

import numpy as np
import orjson
import pytest

from cellar.wire.json.encoding import PART_NUMBERS, dump_json


@pytest.mark.parametrize(
    "shape", [(0,), (0, 3), (2,), (PART_NUMBERS + 1,), (3, PART_NUMBERS), (1, 2, 2 * PART_NUMBERS), (40_000, 1, 1)]
)
def test_arrays_in_parts_are_the_same_text(shape: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    document = {"name": 'a"b', "none": None, "layers": [{"layer": 0, "h": numbers}, {}], "empty": []}
    at_once = {**document, "layers": [{"layer": 0, "h": numbers.astype(np.float64)}, {}]}
    expected = orjson.dumps(at_once, option=orjson.OPT_SERIALIZE_NUMPY)
    assert dump_json(document) == expected
    assert dump_json(document, b"\n") == expected + b"\n"


def test_numbers_without_a_contiguous_array_are_the_same_text() -> None:
    numbers = np.arange(60_000, dtype=np.float32).reshape(20_000, 3).T
    assert orjson.loads(dump_json({"inputs": numbers})) == {"inputs": numbers.tolist()}

"""The page about sizes: its tables are what the command writes from the figures of the benchmark."""

import math

import pytest

from benchmarks.sizing import (
    PAGE,
    WAYS,
    Constants,
    Cost,
    constant_lines,
    constants_of,
    cores,
    filled,
    memory_gb,
    read_page,
)


def test_the_page_is_what_its_constants_give() -> None:
    """The examples were computed from the constants that stand above them, and nothing was changed by hand."""
    text = PAGE.read_text()
    constants = read_page(text)
    assert constants.steps.keys() == WAYS.keys()
    assert filled(text, constants) == text


def test_constants_are_read_from_the_file_of_the_benchmark() -> None:
    cases = [
        {"case": case, "contestant": who, "rates": [100.0, 200.0], "service_cpu": [0.5, 0.9], "redis_cpu": [0.2, 0.4]}
        for case, who, _ in WAYS.values()
    ]
    bars = [
        {"name": "session_memory_bytes", "value": 1400.4},
        {"name": "session_memory_full_ring_bytes", "value": 15000},
    ]
    constants = constants_of({"cases": cases, "bars": bars})
    assert constants.steps["HTTP, JSON"] == Cost(4750.0, 2000.0)
    assert (constants.session_bytes, constants.ring_bytes) == (1400, 13600)
    assert read_page("\n".join(constant_lines(constants))) == constants


def test_sizes_grow_with_rates_and_sessions() -> None:
    constants = Constants({"HTTP, JSON": Cost(35.0, 7.0)}, 1500, 14_000)
    assert cores(constants, "HTTP, JSON", 20_000) == pytest.approx((1.0, 0.2))
    assert math.isclose(memory_gb(constants, 1_000_000), 15.5)

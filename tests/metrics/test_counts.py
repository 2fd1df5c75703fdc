"""Histograms count values up to each bound."""

from cellar.metrics.counts import Histogram


def test_a_value_that_equals_a_bound_is_counted_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.add(value)
    assert (histogram.counts, histogram.sum) == ([2, 2, 1], 8.0)

"""Names that were meant."""

import pytest

from cellar.errors.suggestions import LONGEST, closest, suggestion

KNOWN = ["batch_size", "hidden_size", "Wi", "tanh", "lstm"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("batch_size", "batch_size"),
        ("batchSize", "batch_size"),
        ("Batch-Size", "batch_size"),
        ("hiden_size", "hidden_size"),
        ("wi", "Wi"),
        ("LSTM", "lstm"),
        ("Tanh", "tanh"),
        ("quagga", None),
        ("", None),
        ("batch_size" * LONGEST, None),
    ],
)
def test_the_closest_name(name: str, found: str | None) -> None:
    assert closest(name, KNOWN) == found


def test_a_suggestion_ends_a_sentence_or_says_nothing() -> None:
    assert suggestion("hiden", ["hidden", "in"]) == "; did you mean 'hidden'?"
    assert suggestion("quagga", ["hidden", "in"]) == ""
    assert suggestion("quagga", []) == ""

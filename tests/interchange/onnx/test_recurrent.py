"""Attributes of recurrent operators: the node tests of ONNX, and a few combinations of `tests.interchange.run`."""

import numpy as np
import pytest

from cellar.engine import KernelCache
from tests.interchange.proofs.onnx_models import describe, judge, node_tests, random_case
from tests.interchange.proofs.outcome import Outcome

SEEDS = range(16)


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # of other operators' tests, which are made at the same time
def test_every_node_test_of_a_recurrent_operator_agrees_or_is_refused(cache: KernelCache) -> None:
    outcome = Outcome()
    for name, case, expected in node_tests():
        judge(name, case, expected, cache, outcome)
    assert outcome.wrong == []
    assert outcome.counts["agree"] == 16
    assert outcome.counts["refused"] == 2, "the final memory cells of layers that read from the end"


@pytest.mark.timeout(600)  # a dozen kernels to compile where none is cached
def test_combinations_of_attributes_agree_or_are_refused(cache: KernelCache) -> None:
    outcome = Outcome()
    for seed in SEEDS:
        case = random_case(np.random.default_rng([1, seed]))
        judge(describe(case), case, None, cache, outcome)
    assert outcome.wrong == []
    assert outcome.counts["compared with the reference evaluator"] >= 3
    assert outcome.counts["agree"] + outcome.counts["refused"] == len(SEEDS)

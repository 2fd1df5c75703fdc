"""Few combinations that have every pair of loss, optimiser, layer, regime, scale and layout, through real jobs."""

import uuid
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import pytest

from cellar.store.topology.factory import sync_client
from tests.matrix import cases, golden
from tests.matrix.cases import AXES, QUICK_KINDS, Case, full, quick
from tests.matrix.compare import DOCUMENTED, Result, agrees
from tests.matrix.job import Rig


@pytest.fixture(scope="module")
def rig(redis_url: str, kernel_directory: Path) -> Iterator[Rig]:
    """Yield what carries jobs out."""
    client = sync_client(redis_url)
    yield Rig(client, f"test-{uuid.uuid4().hex}", kernel_directory)
    client.close()


@pytest.mark.parametrize("case", quick(), ids=lambda case: case.name)
def test_a_job_ends_as_pytorch_or_is_refused_as_documented(case: Case, rig: Rig) -> None:
    outcome, expected = rig.run(case), case.expected_refusal()
    assert outcome.refused == (expected is not None), outcome.error
    if expected is not None:
        assert expected in str(outcome.error)
        return
    assert outcome.error is None or any(words in outcome.error for words in DOCUMENTED)
    assert len(outcome.losses) == case.epochs
    right, far = agrees(Result(outcome.losses, outcome.weights), *golden.read(case))
    assert right, f"{far:.1e} away from PyTorch"


def test_the_quick_combinations_have_every_pair() -> None:
    axes = {**AXES, "kind": QUICK_KINDS}
    for a, b in combinations(axes, 2):
        assert {(getattr(case, a), getattr(case, b)) for case in quick()} >= {*product(axes[a], axes[b])}


def test_the_full_matrix_has_every_pair_and_every_loss_with_every_optimiser_and_layer() -> None:
    found = full()
    assert len(found) == len({*found}) >= 400
    for a, b in combinations(AXES, 2):
        assert {(getattr(case, a), getattr(case, b)) for case in found} == {*product(AXES[a], AXES[b])}
    triples = {(case.loss, case.optimiser, case.kind) for case in found}
    assert triples == {*product(cases.LOSSES, cases.OPTIMISERS, cases.KINDS)}

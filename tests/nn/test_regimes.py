"""Jobs with the fields of each regime of Flux's pages end with the weights of PyTorch's loop."""

import json
import re
from pathlib import Path

import pytest

from cellar.engine import KernelCache
from tests.nn.golden.read import part, read
from tests.nn.golden.regime_job import distances, trained
from tests.nn.golden.regimes import REGIMES

TOLERANCE = 2e-6
"""Weights near one, a few updates in float32: a dozen roundings of 6e-8, and as much again for the activations."""


@pytest.mark.parametrize("name", REGIMES)
def test_a_job_is_the_loop_in_pytorch(name: str, cache: KernelCache) -> None:
    golden = read("regimes")
    first = part(golden, f"{name}.weight.")
    found = trained(name, first, cache)
    ours, theirs = distances(found, golden, name)
    assert ours < max(TOLERANCE, 8 * theirs)
    assert any(found[key].tobytes() != first[key].tobytes() for key in first)


def test_the_page_has_these_fields() -> None:
    """Of the regimes that differ in the request: those that differ in the network are a sentence below."""
    page = Path(__file__).parents[2] / "docs" / "training.md"
    shown = [
        json.loads(each) for each in re.findall(r"^```jsonc\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    ]
    proven = [
        regime.fields | ({"data": {"layout": regime.layout}} if regime.layout != "TBF" else {})
        for name, regime in REGIMES.items()
        if name not in ("stacked_layers", "trained_initial_states")
    ]
    assert shown == proven

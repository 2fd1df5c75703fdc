"""The copy of the service that counts nothing differs from the service in counts alone."""

import ast
from pathlib import Path

from benchmarks.scaling.metrics import COUNTERS, PUBLISHING, SERVICE, WithoutCounts, copy_without_counts


def test_only_counts_are_taken_out() -> None:
    text = "def step(counts):\n    counts.steps += 1\n    counts.bins[2] += 1\n    other.steps += 1"
    without = WithoutCounts({"counts"}, set())
    assert ast.unparse(without.visit(ast.parse(text))) == (
        "def step(counts):\n    pass\n    pass\n    other.steps += 1"
    )


def test_the_copy_has_no_counts_of_steps(tmp_path: Path) -> None:
    """Each variable and function is found: otherwise, after a change of the service, nothing would be measured."""
    assert copy_without_counts(tmp_path) == 18
    for name, variables in (COUNTERS | PUBLISHING).items():
        text = (SERVICE / "cellar" / name).read_text()
        assert all(variable in text for variable in variables)
        assert (tmp_path / "service" / "cellar" / name).read_text() != text

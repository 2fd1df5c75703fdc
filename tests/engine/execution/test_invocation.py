"""Invocations: the scratch memory of a kernel holds all of its buffers, and no two of them overlap."""

import numpy as np
import pytest

from cellar.engine.passes.memory_plan import PAIRS, row_bytes
from tests.engine.conftest import Compiled


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (7, 3), (1, 0)])
@pytest.mark.parametrize("name", ["leak", "functions", "lstm"])
def test_buffers_lie_one_after_the_other(compiled: Compiled, name: str, steps: int, rows: int) -> None:
    cell = compiled(name, 21)
    for kernel in (cell.kernel, *cell._training_kernels()):
        plan, sizes = kernel.memory_plan, kernel.cell.sizes
        counts = {"call": steps * rows, "step": rows, "history": (steps + 1) * rows}
        lengths = [counts[buffer.span] * row_bytes(buffer.widths, sizes) for buffer in plan.buffers]
        lengths += [PAIRS * row_bytes((name,), sizes) for name in plan.pairs]
        found = kernel.buffers(counts["call"], counts["step"], counts["history"])
        slots = [kernel.slot_index["buffer", index] for index in range(len(plan.buffers))]
        slots += [kernel.slot_index["pairs", index] for index in range(len(plan.pairs))]
        assert found.positions.tolist() == slots
        ends = found.offsets + lengths
        assert (ends <= [*found.offsets[1:].tolist(), found.length]).all()
        assert not np.any(found.offsets % 64)

"""Kernel calls for steps in which rows are reset or left out: which steps each has, and where the outputs belong."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellar.ports import ROW_LEFT_OUT, ROW_RESET
from cellar.sessions.execution.row_schedule import RowSchedule


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_each_row_makes_its_steps_in_order(steps: int, rows: int, most: int, rng: object) -> None:
    draw = np.random.default_rng(rng.getrandbits(32))  # type: ignore[attr-defined]  # the object has it
    flags = draw.choice(np.array([0, ROW_RESET, ROW_LEFT_OUT], np.uint8), (draw.integers(1, steps + 1), rows))
    inputs = np.arange(1, steps * rows + 1, dtype=np.float32).reshape(steps, rows, 1)
    before = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    schedule = RowSchedule(inputs, flags, before.tobytes())
    seen: list[list[tuple[float, bool]]] = [[] for _ in range(rows)]
    while True:
        state = np.frombuffer(schedule.state, np.float32).reshape(schedule.rows, 2)
        chunk, reset = schedule.begin(most)
        assert chunk.shape == (len(chunk), schedule.rows, 1)
        assert len(chunk) <= most
        for at, row in enumerate((state[:, 0] % (2 * rows) // 2).astype(int)):
            for step in range(schedule.lengths[at]):
                seen[row].append((float(chunk[step, at, 0]), bool(reset[at]) and step == 0))
                assert inputs[schedule.time_of(step, at), row] == chunk[step, at]
        schedule.end(chunk * 2, state + 2 * rows * (schedule.lengths > 0)[:, None])
        if not schedule.left:
            break
    for row in range(rows):
        expected = []
        for step in range(steps):
            flag = flags[step, row] if step < len(flags) else 0
            if flag != ROW_LEFT_OUT:
                expected.append((float(inputs[step, row, 0]), flag == ROW_RESET))
                assert schedule.outputs[step, row] == 2 * inputs[step, row]
            else:
                assert np.isnan(schedule.outputs[step, row]).all()
        assert seen[row] == expected
        after = np.frombuffer(schedule.whole_state, np.float32).reshape(rows, 2)[row]
        assert (after % (2 * rows)).tolist() == before[row].tolist()
        assert (after > before[row]).all() == bool(expected)

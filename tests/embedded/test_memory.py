"""The memory that there is: the machine's, or less where the control group has less."""

from pathlib import Path

import pytest

from cellar.embedded.memory import memory_bytes

MACHINE = memory_bytes([])


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, MACHINE), ("max\n", MACHINE), ("104857600\n", 104857600), (f"{2**63}\n", MACHINE)],
)
def test_the_control_group_may_have_less(tmp_path: Path, said: str | None, expected: int) -> None:
    limit = tmp_path / "memory.max"
    if said is not None:
        limit.write_text(said)
    assert memory_bytes([limit]) == expected
    assert MACHINE > 2**20

"""What a machine or a container has, read from files as the kernel writes them."""

from pathlib import Path

import pytest

from cellar import machine
from cellar.machine import memory_bytes, processors

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


ALL = processors([])


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, ALL), ("max 100000\n", ALL), ("100000 100000\n", 1), ("20000 100000\n", 1), ("9000000 100000\n", ALL)],
)
def test_a_quota_may_leave_fewer_processors(tmp_path: Path, said: str | None, expected: int) -> None:
    quota = tmp_path / "cpu.max"
    if said is not None:
        quota.write_text(said)
    assert processors([quota]) == expected
    assert ALL >= 1


@pytest.mark.parametrize(("said", "expected"), [("-1\n", ALL), ("50000\n", 1)])
def test_a_quota_of_the_older_version(tmp_path: Path, said: str, expected: int) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text(said)
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    assert processors([tmp_path / "cpu.cfs_quota_us"]) == expected


def test_a_group_around_this_one_limits_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "system.slice" / "cellar.service"
    inner.mkdir(parents=True)
    (tmp_path / "own").write_text("1:name=systemd:/elsewhere\n0::/system.slice/cellar.service\n")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_GROUP", tmp_path / "own")
    assert memory_bytes() == memory_bytes([])
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("1048576\n")
    (inner / "cpu.max").write_text("100000 100000\n")
    assert memory_bytes() == 1048576
    assert processors() == 1


def test_processors_are_divided_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for processes in (1, 2, 64):
        monkeypatch.setattr(machine, "_share", processes)
        assert machine.threads() == max(1, -(-processors() // processes))

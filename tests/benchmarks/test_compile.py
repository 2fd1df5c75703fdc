"""The benchmark of compiling, as far as it measures no time."""

from pathlib import Path

from benchmarks.compile import fresh_s, load_s, machine_code_bytes


def test_what_it_measures(kernel_directory: Path) -> None:
    load_s(kernel_directory, training=True)
    importing, loading = fresh_s(kernel_directory, training=True)
    assert importing > 0 < loading
    own, shared = machine_code_bytes(kernel_directory)
    assert 0 < own < 500_000 > shared > 0  # some tens of kilobytes each

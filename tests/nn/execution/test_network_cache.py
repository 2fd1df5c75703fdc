"""Networks of a process: checked and compiled once for all versions, and known again after a restart."""

import gc
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cellar.engine import KernelCache
from cellar.errors import CellError
from cellar.nn.execution import network_cache
from cellar.nn.execution.network_cache import SUFFIX, NetworkCache
from cellar.nn.model.spec import NetworkSpec


def spec_of(hidden: int, cell: Any = "rnn") -> NetworkSpec:
    """Return a network of one layer."""
    layers = [{"type": "recurrent", "cell": cell, "hidden_size": hidden}]
    return NetworkSpec.model_validate({"in_size": 2, "layers": layers})


@pytest.fixture
def directory(kernel_directory: Path, tmp_path: Path) -> Path:
    """Return a directory with all kernels that were compiled by now, and no networks."""
    NetworkCache(KernelCache(kernel_directory)).compile(NetworkCache(KernelCache(None)).network(spec_of(3)))
    own = tmp_path / "kernels"
    shutil.copytree(kernel_directory, own, ignore=shutil.ignore_patterns(f"*{SUFFIX}"))
    own.chmod(0o700)
    return own


def started(directory: Path) -> NetworkCache:
    """Return the networks of a process that starts."""
    return NetworkCache(KernelCache(directory))


def noted(directory: Path) -> list[Path]:
    """Return the files of networks."""
    return [*directory.glob(f"*{SUFFIX}")]


def test_a_network_is_checked_and_compiled_once(directory: Path) -> None:
    networks = started(directory)
    network = networks.network(spec_of(3))
    assert networks.network(spec_of(3), pointer="/network") is network
    assert networks.stored(network.document) is network
    assert networks.compile(network) is networks.compile(network)
    assert networks.network(spec_of(4)) is not network


def test_another_order_of_members_is_the_same_network(directory: Path) -> None:
    networks = started(directory)
    network = networks.network(spec_of(3))
    assert networks.stored(dict(reversed(network.document.items()))) is network


def test_errors_have_the_pointer_of_the_request(directory: Path) -> None:
    with pytest.raises(CellError) as caught:
        started(directory).network(spec_of(3, {"equations": "h = tanh(Wi @ x + y)"}), pointer="/network")
    assert (caught.value.pointer or "").startswith("/network/layers/0")


def test_compiled_networks_that_no_model_has_are_kept_up_to_a_bound(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = started(directory)
    first = networks.compile(networks.network(spec_of(3)))
    monkeypatch.setattr(network_cache, "KEPT_BYTES", 2 * first.size_bytes)
    for hidden in (4, 5, 6):
        networks.compile(networks.network(spec_of(hidden)))
    gc.collect()
    assert len(networks._kept) == 2
    assert len(networks._compiled) == 3, "one is held by the test, as by a model"
    assert networks.compile(networks.network(spec_of(3))) is first


def test_a_process_that_starts_compiles_the_networks_that_were_used_last(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = started(directory)
    for hidden in (3, 4, 5):
        before.compile(before.network(spec_of(hidden)))
    again = started(directory)
    monkeypatch.setattr(network_cache, "RECALL_S", 60.0)
    assert again.recall() == 3
    known = again.compile(again.network(spec_of(4)))
    assert "code" in vars(known), "no step has to make it"
    monkeypatch.setattr(network_cache, "RECALL_S", 0.0)
    third = started(directory)
    assert third.recall() <= 1
    assert len(noted(directory)) == 3


def test_the_one_used_last_comes_first(directory: Path) -> None:
    before = started(directory)
    for hidden in (3, 4):
        before.compile(before.network(spec_of(hidden)))
    for path in noted(directory):
        os.utime(path, (1, 1))
    between = started(directory)
    between.compile(between.network(spec_of(3)))
    first = next(started(directory)._noted())
    assert '"hidden_size": 3' in first.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"in_size": 0, "layers": []}', '{"in_size": 2}', "\x00"])
def test_a_file_that_is_no_network_is_passed_over(directory: Path, text: str) -> None:
    started(directory).compile(started(directory).network(spec_of(3)))
    (directory / f"{'0' * 64}{SUFFIX}").write_text(text)
    assert started(directory).recall() == 1


def test_a_network_without_its_kernels_is_not_compiled_at_the_start(directory: Path) -> None:
    networks = started(directory)
    networks.compile(networks.network(spec_of(3)))
    for path in directory.glob("*.o"):
        path.unlink()
    assert started(directory).recall() == 0
    assert not [*directory.glob("*.o")]


def test_no_directory_is_needed(kernel_directory: Path, tmp_path: Path) -> None:
    networks = NetworkCache(KernelCache(None, beforehand=kernel_directory))
    assert networks.recall() == 0
    networks.compile(networks.network(spec_of(3)))
    gone = tmp_path / "gone"
    later = NetworkCache(KernelCache(gone, beforehand=kernel_directory))
    shutil.rmtree(gone)
    later.compile(later.network(spec_of(3)))
    assert later.recall() == 0

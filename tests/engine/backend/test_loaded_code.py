"""How much machine code stays in memory, which, and that whoever uses some holds it."""

import gc
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cellar.engine import KernelCache, NetworkCode, NetworkProgram, NodeWeights, PlanNode, self_test
from cellar.engine.backend.loaded_code import Footprint, LoadedKernels
from cellar.engine.backend.loader import NativeFunction, link
from cellar.engine.execution.network_plan import INPUT
from tests.engine.conftest import CALLS_BACK, Compiled

Load = Callable[[str], NativeFunction]


def loading(loaded: LoadedKernels, object_file: bytes) -> Load:
    """Return a function that asks for a key, and loads the one object file if it must."""

    def load(key: str) -> NativeFunction:
        futures, claimed = loaded.claim([key])
        loaded.complete({key: link(object_file) for key in claimed})
        return futures[key].result()

    return load


def test_what_was_used_longest_ago_goes_first(object_file: bytes) -> None:
    loaded = LoadedKernels(kept_kernels=2)
    load = loading(loaded, object_file)
    places = {key: load(key).address for key in ("a", "b", "a", "c")}
    assert loaded.footprint == Footprint(2, 2 * len(object_file))
    assert loaded.claim(["a", "c"])[1] == []
    assert loaded.claim(["b"])[1] == ["b"]
    assert len(set(places.values())) == 3


def test_the_sum_of_the_sizes_is_bounded(object_file: bytes) -> None:
    loaded = LoadedKernels(kept_bytes=3 * len(object_file))
    load = loading(loaded, object_file)
    for key in "abcdef":
        load(key)
    assert loaded.footprint == Footprint(3, 3 * len(object_file))


def test_what_somebody_holds_is_found_again(object_file: bytes) -> None:
    loaded = LoadedKernels(kept_kernels=0)
    load = loading(loaded, object_file)
    held = load("a")
    load("b")
    assert loaded.footprint.kernels == 1
    assert load("a") is held
    del held
    assert loaded.footprint == Footprint(0, 0)


def test_threads_that_load_and_drop_at_once(object_file: bytes) -> None:
    loaded = LoadedKernels(kept_kernels=3)
    load = loading(loaded, object_file)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: load(str(number % 7)).size_bytes, range(200)))
    assert set(found) == {len(object_file)}
    assert loaded.footprint.kernels == 3


def test_equations_without_end(object_file: bytes, tmp_path: Path) -> None:
    """A thousand texts, whose files are there already."""
    cache = KernelCache(tmp_path / "kernels", loaded=LoadedKernels(kept_kernels=16))
    texts = [f"{CALLS_BACK}# {number}" for number in range(1000)]
    file = hashlib.sha256(object_file).digest() + object_file
    for text in texts:
        (tmp_path / "kernels" / f"{cache.key(text)}.o").write_bytes(file)
        cache.load([text])
    assert cache.footprint == Footprint(16, 16 * len(object_file))


def test_cells_hold_what_they_use(cache: KernelCache) -> None:
    """From a cache that keeps nothing."""
    forgetful = KernelCache(cache.directory, loaded=LoadedKernels(kept_kernels=0))
    self_test.check(forgetful)
    self_test.check(forgetful, training=True)
    gc.collect()
    assert forgetful.footprint.kernels == 1  # the call that all networks share, which the cache holds


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_program_holds_what_it_uses(cache: KernelCache, bfloat16: bool) -> None:
    forgetful = KernelCache(cache.directory, loaded=LoadedKernels(kept_kernels=0))

    def program(kernels: KernelCache) -> NetworkProgram:
        cell = Compiled(kernels)("lstm", 21)
        weights = {param.name: np.full(param.shape, 0.1, np.float32) for param in cell.cell.params}
        bound = NodeWeights(cell.pack(weights, bfloat16=bfloat16), np.zeros(42, np.float32))
        return NetworkProgram(NetworkCode([PlanNode(cell, (INPUT,), 0)], (0,), 3, 42, kernels), [bound])

    made, wanted = program(forgetful), program(cache)
    gc.collect()
    for rows in (2, 50):  # a small call and one that is not
        inputs, state = np.ones((5, rows, 3), np.float32), np.zeros((rows, 42), np.float32)
        np.testing.assert_array_equal(made.run(inputs, state).outputs, wanted.run(inputs, state).outputs)
    del made
    gc.collect()
    assert forgetful.footprint.kernels == 1  # the call that all networks share, which the cache holds

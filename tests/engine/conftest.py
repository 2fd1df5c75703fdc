"""The few kernels that the engine's tests compile."""

from pathlib import Path

import pytest

from cellar.cells import BUILT_IN
from cellar.engine import CompiledCell, KernelCache, build_cell, compile_cells
from tests.engine.probe import Probe
from tests.engine.stack import Stack
from tests.engine.texts import FUNCTIONS, LEAK

CALLS_BACK = """
from numba import cfunc, types

from cellar.engine.kernel_library.memory_intrinsics import call_function


@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')
def cellar_kernel(d):
    return call_function(d, 41) + 1
"""
"""A kernel that calls the function whose address it is given."""

TEXTS = {"leak": LEAK, "functions": FUNCTIONS, "lstm": BUILT_IN["lstm"].text()}


class Compiled:
    """Compiled cells by name and size. Sizes are run-time numbers: however many are asked for, kernels are three."""

    def __init__(self, cache: KernelCache) -> None:
        self.cache = cache

    def __call__(self, name: str, size: int = 5, *, inputs: int = 3) -> CompiledCell:
        """Return the cell `name` with hidden size `size`; LEAK has only the size of its input, and takes `size`."""
        sizes = {"in": size if name == "leak" else inputs, "hidden": size, "proj": size // 2 + 1}
        return compile_cells([build_cell(TEXTS[name], sizes)], self.cache, training=True)[0]


@pytest.fixture(scope="session")
def cache(kernel_directory: Path) -> KernelCache:
    """Return the cache of kernels that all tests share."""
    return KernelCache(kernel_directory)


@pytest.fixture(scope="session")
def compiled(cache: KernelCache) -> Compiled:
    """Return the compiled cells."""
    return Compiled(cache)


@pytest.fixture(scope="session")
def stack(compiled: Compiled) -> Stack:
    """Return two layers in one program."""
    return Stack(compiled)


@pytest.fixture(scope="session")
def object_file(cache: KernelCache) -> bytes:
    """Return the object file of the kernel `CALLS_BACK`."""
    assert cache.directory
    cache.warm([CALLS_BACK])
    return (cache.directory / f"{cache.key(CALLS_BACK)}.o").read_bytes()[32:]  # behind the digest


@pytest.fixture(scope="session")
def probe(cache: KernelCache) -> Probe:
    """Return the functions of kernels over plain arrays."""
    return Probe(cache)

"""The product: every tile, every split into rows, panels and parts, gives the one chain of multiply-adds."""

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.engine.backend.loader import NativeFunction
from cellar.engine.execution.arrays import Floats, address, aligned, rounded
from cellar.engine.execution.packed_weights import in_pairs
from cellar.engine.kernel_library.matmul import MOST_ROWS, WEIGHTS_BYTES, tile_shapes
from cellar.engine.native_calls.programs import product_texts
from cellar.engine.target import Registers, Target

PARTED = WEIGHTS_BYTES // 64 + 3
"""A length whose panel does not fit where weights are kept."""

Product = Callable[[Floats, Floats, Floats | None], Floats]


def aligned_floats(array: NDArray[np.float32]) -> Floats:
    """Return a copy that begins where vectors do."""
    made = aligned(array.nbytes).view(np.float32).reshape(array.shape)
    made[...] = array
    return made


@pytest.fixture(scope="module")
def product(cache: KernelCache) -> Product:
    """Return the product with float32 weights: rows (R, K), panels (P, K, 16) and sums to go on from to (R, 16 P)."""
    return function(cache.products().float32, None)


@pytest.fixture(scope="module")
def bfloat16(cache: KernelCache) -> Product:
    """Return the product that reads the same panels as bfloat16."""
    products = cache.products()
    return function(products.bfloat16, products.float32)


def function(code: NativeFunction, plain: NativeFunction | None) -> Product:
    """Return a function of arrays for one of addresses."""
    native = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 11)

    def call(rows: Floats, panels: Floats, start: Floats | None) -> Floats:
        count, length = rows.shape
        width = 16 * len(panels)
        out = aligned_floats(np.full((count, width), 9, np.float32) if start is None else start)
        weights = in_pairs(panels) if plain else panels
        native(code.address)(
            *(address(rows), 4 * length, 4, address(weights), address(out), 4 * width),
            *(length, len(panels), count, int(start is not None), plain.address if plain else 0),
        )
        return out

    return call


def draw(rows: int, panels: int, length: int) -> tuple[Floats, Floats]:
    """Return rows and panels of normal numbers, the panels exact in bfloat16."""
    rng = np.random.default_rng(rows + 100 * panels + length)
    a, w = rng.normal(size=(rows, length)), rng.normal(size=(panels, length, 16))
    return aligned_floats(a.astype(np.float32)), aligned_floats(rounded(w.astype(np.float32)))


@pytest.mark.parametrize("length", [1, 2, 37, PARTED])
@pytest.mark.parametrize("rows", [*range(1, 2 * MOST_ROWS + 2), 67])
def test_every_shape(product: Product, bfloat16: Product, rows: int, length: int) -> None:
    """Against float64 within the bound of a chain of `length` roundings; each row and panel the bits it has alone."""
    for panels in (1, 2, 3, 7, 9):
        a, w = draw(rows, panels, length)
        found = product(a, w, None)
        wide = w.transpose(1, 0, 2).reshape(length, -1).astype(np.float64)
        exact, size = a.astype(np.float64) @ wide, np.abs(a).astype(np.float64) @ np.abs(wide)
        unit = 2.0**-24
        assert (np.abs(found - exact) <= length * unit / (1 - length * unit) * size).all()
        row, panel = rows // 2, panels // 2
        alone = product(aligned_floats(a[row : row + 1]), aligned_floats(w[panel : panel + 1]), None)
        np.testing.assert_array_equal(found[row, 16 * panel : 16 * panel + 16], alone[0])
        np.testing.assert_array_equal(bfloat16(a, w, None), found)


@pytest.mark.parametrize("rows", [1, 5, 16])
def test_sums_go_on(product: Product, bfloat16: Product, rows: int) -> None:
    a, w = draw(rows, 3, 40)
    first = product(aligned_floats(a[:, :15]), aligned_floats(w[:, :15]), None)
    second = aligned_floats(a[:, 15:]), aligned_floats(w[:, 15:])
    np.testing.assert_array_equal(product(*second, first), product(a, w, None))
    np.testing.assert_array_equal(bfloat16(*second, first), product(a, w, None))


def test_no_rows(product: Product) -> None:
    _, w = draw(1, 1, 4)
    assert product(np.empty((0, 4), np.float32), w, None).shape == (0, 16)


@pytest.mark.parametrize("registers", [Registers(32, 16), Registers(16, 8), Registers(32, 4), Registers(16, 4)])
def test_tiles_fit_into_the_registers(registers: Registers) -> None:
    each = 16 // registers.lanes
    panels = tile_shapes(registers)
    assert panels == sorted(panels, reverse=True)
    for rows, count in enumerate(panels, 1):
        assert rows * count * each + min(rows, count * each) + 1 <= registers.count
    assert panels[0] * each >= 8 or panels[0] * each + 2 >= registers.count - 3  # chains enough to hide the latency


def test_targets_have_tiles_of_their_own() -> None:
    texts = {product_texts(Target("x86_64", cpu).registers) for cpu in ("x86-64-v2", "x86-64-v3", "x86-64-v4")}
    assert len(texts) == 3
    assert Target("x86_64", "sapphirerapids").registers == Target("x86_64", "x86-64-v4").registers
    assert Target("x86_64", "x86-64-v4", "-avx512f").registers == Target("x86_64", "x86-64-v3").registers

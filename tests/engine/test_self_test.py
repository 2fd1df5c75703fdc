"""The arithmetic has a name, and a machine that computes other bits is found out."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache, self_test
from cellar.engine.backend import kernel_cache
from cellar.engine.backend.loader import NativeFunction
from cellar.engine.ir.graph import toposort
from cellar.engine.ir.ops import OPS, Op
from cellar.engine.kernel_library import matmul
from cellar.engine.native_calls import programs
from cellar.engine.target import Registers, host_levels, target_here
from cellar.errors import StartupError
from cellar.nn.builtin_kernels import builtin_kernels

LEVELS = host_levels()


def test_this_machine_computes_the_bits_of_the_revision(cache: KernelCache) -> None:
    self_test.check(cache)
    self_test.check(cache, training=True)


def test_another_target_computes_the_same_bits(cache: KernelCache) -> None:
    """A level below has half the lanes in a register, or calls a function for every fused term."""
    other = LEVELS[1] if cache.target.cpu == LEVELS[0] and len(LEVELS) > 1 else LEVELS[0]
    self_test.check(KernelCache(cache.directory, target=target_here(other)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("float32", "does not compute the bits of kernel revision 2, float32 weights"),
        ("bfloat16", "does not compute the bits of kernel revision 2, bfloat16 weights"),
        ("training", r"does not compute the bits of training revision \d+"),
    ],
)
def test_other_bits_are_refused(cache: KernelCache, name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(self_test.GOLDEN, name, "0" * 64)
    with pytest.raises(StartupError, match=said):
        self_test.check(cache, training=name == "training")


@pytest.mark.parametrize("single", [True, False])
def test_one_bit_of_a_step_or_of_a_sequence_is_found(cache: KernelCache, single: bool) -> None:
    """The last output of the calls of one step alone, or of all others, is the next number."""
    own = KernelCache(cache.directory)
    call = own.advance
    self_test.check(own)

    def advance(words: Any, models: bytes, inputs: Any, *others: Any) -> int:
        status: int = call(words, models, inputs, *others)
        outputs = others[-2]
        if (len(inputs) == 1) == single:
            outputs[-1, -1, -1] = np.nextafter(outputs[-1, -1, -1], np.float32(np.inf))
        return status

    own.advance = advance
    with pytest.raises(StartupError, match="float32 weights"):
        self_test.check(own)


def test_a_wrong_product_of_bfloat16_weights_is_found(cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew where a part of the terms ends; only long products have parts."""
    before, after = inspect.getsource(matmul).split("def bfloat16_product", 1)
    wrong = after.replace("accumulates = 1 if k > 0 else accumulate", "accumulates = accumulate")
    assert wrong != after
    right = programs.product_texts

    def texts(registers: Registers) -> tuple[str, str]:
        plain, bfloat16 = right(registers)
        call = bfloat16.splitlines()[-1]
        return plain, f"{before}def bfloat16_product{wrong}\n\n{call}\n"

    monkeypatch.setattr(kernel_cache, "product_texts", texts)
    with pytest.raises(StartupError, match="bfloat16 weights"):
        self_test.check(KernelCache(cache.directory))


PRIMITIVE = ["add", "sub", "mul", "div", "neg", "abs", "sqrt", "min", "max", "relu", "select"]
"""Exact operations that are in the golden cells. Tests compare any further one with NumPy, bit by bit."""


def test_the_golden_cells_have_every_operation() -> None:
    for cell in self_test.golden_cells():
        used = {node.op for node in toposort(cell.adjoint.roots)}
        needed = {op for op in OPS if op.kind != "leaf" and (not op.exact or op.name in PRIMITIVE)}
        assert needed <= used | {Op.BROADCAST}


def test_warming_brings_all_that_the_check_needs(cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    own, asked = KernelCache(cache.directory), set[str]()
    load = own.load

    def note(texts: Sequence[str]) -> list[NativeFunction]:
        asked.update(texts)
        return load(texts)

    monkeypatch.setattr(own, "load", note)
    self_test.check(own)
    self_test.check(own, training=True)
    assert asked
    assert asked <= {*own.library, *builtin_kernels()}

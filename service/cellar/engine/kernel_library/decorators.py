"""Decorators that declare kernel functions and instructions to Numba, which compiles them into kernels."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Build = Callable[[ir.IRBuilder, Sequence[ir.Value]], ir.Value]
Typed = tuple[Any, Callable[..., ir.Value]]


def kernel_function(function: Callable[..., Any]) -> Any:
    """Compile a function for kernels. A division by zero gives infinity or NaN and raises nothing."""
    return njit(error_model="numpy")(function)


def instruction(function: Callable[..., Typed]) -> Any:
    """Make an instruction for kernels from a typing function, by Numba's decorator, which has no types."""
    return intrinsic(function)


def literal_instruction(function: Callable[..., Typed]) -> Any:
    """Make an instruction that gets integer literals of the caller's text as literals."""
    return intrinsic(prefer_literal=True)(function)


def typed(result: Any, arguments: Sequence[Any], build: Build) -> Typed:
    """Return the typing of an intrinsic: its signature, and the function that emits its instructions."""

    def generate(context: Any, builder: ir.IRBuilder, _: Any, values: Sequence[ir.Value]) -> ir.Value:
        """Emit the instructions; a function without a result gives a dummy value."""
        value = build(builder, values)
        return context.get_dummy_value() if result is types.void else value

    return result(*arguments), generate

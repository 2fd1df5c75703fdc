"""Decorators that declare kernel functions and instructions to Numba, which compiles them into kernels."""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


def kernel_function(function: Callable[..., Any]) -> Any:
    """Compile a function for kernels. A division by zero gives infinity or NaN and raises nothing."""
    return njit(error_model="numpy")(function)


def instruction(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator for a function that emits an instruction, given a builder and the values of its arguments.

    `result` and `arguments` are Numba's types. The instruction has the parameters of the function after the builder.
    """

    def decorate(emit: Callable[..., Any]) -> Any:
        """Declare the instruction to Numba."""

        @functools.wraps(emit)
        def type_call(*_: Any) -> Any:
            """Return the signature, and the function that emits the instruction."""
            return result(*arguments), functools.partial(_generate, emit)

        return intrinsic(type_call)

    return decorate


def literal_instruction(function: Callable[..., Any]) -> Any:
    """Make an instruction from a typing function, which gets integer literals of the caller's text as literals."""
    return intrinsic(prefer_literal=True)(function)


def _generate(emit: Callable[..., Any], context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
    """Emit an instruction; one without a result gives a dummy value."""
    value = emit(builder, *values)
    return context.get_dummy_value() if signature.return_type is types.void else value

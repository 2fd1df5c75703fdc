"""What kernels need of Numba's work, which is half of it: the time of a new cell is Numba's, not LLVM's.

Only the process that compiles uses this. Kernels have no closures, exceptions, objects or arrays, and nothing calls
the functions that they are made of but they themselves.
"""

from typing import Any

from numba.core import dispatcher, typed_passes, types, untyped_passes
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager

_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.NoPythonSupportedFeatureValidation,
    typed_passes.IRLegalization,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


def install_numba_patches() -> None:
    """Leave out of all that Numba compiles in this process what kernels have no use for."""
    Compiler.define_pipelines = _pipelines  # type: ignore[method-assign]
    # The entry of a kernel is called from outside; its compiler has a method of its own.
    dispatcher._FunctionCompiler._customize_flags = _without_wrappers  # type: ignore[attr-defined]
    _remember_types()


def _remember_types() -> None:
    """Have what a call returns looked up once for each function and each types of arguments, not at every call."""
    ask = types.BaseFunction.get_call_type
    known: dict[object, Any] = {}

    def get_call_type(function: Any, context: Any, args: Any, kws: Any) -> Any:
        if not any(template.prefer_literal for template in function.templates):
            args = tuple(map(types.unliteral, args))
        key = function, args, tuple(kws.items())
        if key not in known:
            known[key] = ask(function, context, args, kws)
        return known[key]

    types.BaseFunction.get_call_type = get_call_type  # type: ignore[assignment, method-assign]


def _pipelines(_: Any) -> list[Any]:
    manager = PassManager("kernel")
    for step in _PASSES:
        manager.add_pass(step, step.__name__)
    manager.finalize()
    return [manager]


def _without_wrappers(_: Any, flags: Any) -> Any:
    """Ask for no function that Python or C could call."""
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return flags

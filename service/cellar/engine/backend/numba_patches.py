"""Patches Numba in the compiler process: leaves out the passes that kernels do not need, which halves its time.

Most of the time that a new cell takes is Numba's, not LLVM's. Kernels have no closures, exceptions, objects or arrays,
and their functions are called by kernels only.
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
    """Patch Numba for everything that is compiled in this process."""
    Compiler.define_pipelines = _pipelines  # type: ignore[method-assign]  # the patch of a pinned version
    # The entry of a kernel is called from outside; its compiler has a method of its own.
    dispatcher._FunctionCompiler._customize_flags = _without_wrappers  # type: ignore[attr-defined]
    _remember_types()


def _remember_types() -> None:
    """Cache the result type of a call by its function and the types of its arguments."""
    ask = types.BaseFunction.get_call_type
    known: dict[object, Any] = {}

    def get_call_type(function: Any, context: Any, args: Any, kws: Any) -> Any:
        """Return the type of a call from the cache, or resolve it."""
        if not any(template.prefer_literal for template in function.templates):
            args = tuple(map(types.unliteral, args))
        key = function, args, tuple(kws.items())
        if key not in known:
            known[key] = ask(function, context, args, kws)
        return known[key]

    # the patch of a pinned version
    types.BaseFunction.get_call_type = get_call_type  # type: ignore[assignment, method-assign]


def _pipelines(_: Any) -> list[Any]:
    manager = PassManager("kernel")
    for step in _PASSES:
        manager.add_pass(step, step.__name__)
    manager.finalize()
    return [manager]


def _without_wrappers(_: Any, flags: Any) -> Any:
    """Leave out the wrappers by which Python or C could call a function."""
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return flags

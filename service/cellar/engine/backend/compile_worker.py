"""The compiler process: reads kernel texts from standard input and writes object files to standard output.

`python -m cellar.engine.backend.compile_worker` reads a request as JSON and writes the object files as JSON, in base64,
by the keys of the texts. It is a child process because the text comes from a user's equations: it has limits on
processor time and memory, and its failures do not reach the service. It writes no files.
"""

import base64
import gc
import json
import os
import resource
import sys
from typing import Any

from cellar.process import end_with_parent

LIBC_FUNCTIONS = ("fmaf", "memcpy", "memmove", "memset")
"""Functions of the C library that LLVM calls for an instruction that the target lacks, or in place of a loop."""

NOT_INLINED = ("part_", "pack_pairs", "lane_sums", "lane_total")
"""Parts of the names of functions that are not inlined: kernels call them in many places and run them seldom."""

NICENESS = 5
"""Steps of running sessions go before the compilation of new models."""


def compile_text(text: str, cpu: str, features: str) -> bytes:
    """Return the object file of a kernel text for a processor."""
    from llvmlite import binding as llvm

    from cellar.engine.codegen.kernel_source import KERNEL_ENTRY

    names: dict[str, Any] = {"__name__": "cellar_kernel"}
    exec(compile(text, "<kernel>", "exec"), names)  # noqa: S102  # our own text: no word of the user's is in it
    function = names[KERNEL_ENTRY]
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # Numba keeps its wrapper apart from the function; as one they show that nothing is raised.
    text = (
        function.inspect_llvm().replace(function.native_name, KERNEL_ENTRY).replace("{ noinline }", "{ alwaysinline }")
    )
    module = llvm.parse_assembly(text)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small"
    )
    _internalise(module, machine)
    _check_calls(module)
    return bytes(machine.emit_object(module))


def _internalise(module: Any, machine: Any) -> None:
    """Make all functions but the entry internal, inline them into it, and optimise the whole module.

    The kernels raise nothing, but Numba's wrapper handles exceptions; LLVM removes that only where everything is one
    function. The result calls no function of Numba, so the service need not load Numba.
    """
    from llvmlite import binding as llvm

    from cellar.engine.codegen.kernel_source import KERNEL_ENTRY

    for function in module.functions:
        if not function.is_declaration and function.name != KERNEL_ENTRY:
            function.linkage = "internal"
            apart = any(name in function.name for name in NOT_INLINED)
            function.add_function_attribute("noinline" if apart else "alwaysinline")
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        module, llvm.create_pass_builder(machine, options)
    )


def _check_calls(module: Any) -> None:
    """Raise ImportError for a kernel that calls a function that the service does not have.

    A kernel that can raise calls Numba and CPython; the loader would leave such calls unresolved and report nothing.
    """
    declared = {function.name for function in module.functions if function.is_declaration}
    unknown = sorted(name for name in declared if not name.startswith("llvm.") and name not in LIBC_FUNCTIONS)
    if unknown:
        raise ImportError(f"the kernel calls {', '.join(unknown)}")


def main() -> None:
    """Compile every kernel of the request on standard input."""
    from cellar.engine.backend.numba_patches import install_numba_patches

    request = json.load(sys.stdin)
    if "parent" in request:
        end_with_parent(request["parent"])
    seconds, memory_bytes = request["cpu_limit_s"], request["memory_limit_bytes"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU, which says why
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    os.nice(NICENESS)
    gc.disable()  # what Numba makes lives until the end, and to look it through costs a tenth of the time
    install_numba_patches()
    objects = {key: compile_text(text, request["cpu"], request["features"]) for key, text in request["kernels"].items()}
    json.dump({key: base64.b64encode(code).decode() for key, code in objects.items()}, sys.stdout)


if __name__ == "__main__":
    main()

"""The compiler as a child process: kernel texts in, object files out.

`python -m cellar.engine.backend.compile_worker` reads a request as JSON from standard input and writes the object
files, in base64 and
by the keys of the texts, as JSON to standard output. A child, because the text comes from a user's equations: it has a
limit on processor time and memory, and nothing that goes wrong in it harms the service. It leaves no file behind,
however it ends.
"""

import base64
import gc
import json
import os
import resource
import sys
from typing import Any

from cellar.parent import die_with_parent

LIBC_FUNCTIONS = ("fmaf", "memcpy", "memmove", "memset")
"""What LLVM may call for an instruction that the target lacks, or in place of a loop."""

NOT_INLINED = ("part_", "pack_pairs", "lane_sums", "lane_total")
"""Functions that stay functions, by words in their names: kernels have many calls of them, and seldom run them."""

NICENESS = 5
"""A new model waits for its kernels; the streams of the others go before."""


def compile_text(text: str, cpu: str, features: str) -> bytes:
    """Return the object file of a kernel text for a processor."""
    from llvmlite import binding as llvm

    from cellar.engine.codegen.kernel_source import ENTRY

    names: dict[str, Any] = {"__name__": "cellar_kernel"}
    exec(compile(text, "<kernel>", "exec"), names)  # noqa: S102  # our own text: no word of the user's is in it
    function = names[ENTRY]
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # Numba keeps its wrapper apart from the function; as one they show that nothing is raised.
    text = function.inspect_llvm().replace(function.native_name, ENTRY).replace("{ noinline }", "{ alwaysinline }")
    module = llvm.parse_assembly(text)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small"
    )
    _internalise(module, machine)
    _check_calls(module)
    return bytes(machine.emit_object(module))


def _internalise(module: Any, machine: Any) -> None:
    """Make everything but the entry private and a part of it, and optimise over the whole module.

    The kernels raise nothing, but Numba's wrapper can see that only where everything is one function; what is left
    calls nothing of Numba's, so the service need not load it.
    """
    from llvmlite import binding as llvm

    from cellar.engine.codegen.kernel_source import ENTRY

    for function in module.functions:
        if not function.is_declaration and function.name != ENTRY:
            function.linkage = "internal"
            apart = any(name in function.name for name in NOT_INLINED)
            function.add_function_attribute("noinline" if apart else "alwaysinline")
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        module, llvm.create_pass_builder(machine, options)
    )


def _check_calls(module: Any) -> None:
    """Raise ImportError for a kernel that calls what the service does not have.

    A kernel that can raise calls Numba and CPython; the loader would leave such calls empty without a word.
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
        die_with_parent(request["parent"])
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

"""Object files to functions in this process, by LLVM's own loader: the service need not load Numba."""

import ctypes
import functools
import threading
from collections.abc import Callable

from llvmlite import binding as llvm

from cellar.engine.codegen import ENTRY

Function = Callable[[int], int]
"""A kernel: takes the address of its descriptor, returns 0, or 1 if the thread flushes subnormals."""

LIBRARY = ("fmaf", "memcpy", "memmove", "memset")
"""What LLVM may call for an instruction that the target lacks, or in place of a loop."""

_engines: list[llvm.ExecutionEngine] = []
"""Keeps loaded machine code alive: a kernel may run for as long as the process does."""

_lock = threading.Lock()


def link(code: bytes) -> Function:
    """Return the function in an object file. It releases the GIL for as long as it runs."""
    with _lock:
        _initialise()
        machine = llvm.Target.from_default_triple().create_target_machine(opt=3, jit=True)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _engines.append(engine)
        return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(engine.get_function_address(ENTRY))


@functools.cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    process = ctypes.CDLL(None)
    for name in LIBRARY:
        llvm.add_symbol(name, ctypes.cast(getattr(process, name), ctypes.c_void_p).value)

"""Loads object files into this process by LLVM's loader, and makes their entries callable; Numba is not needed."""

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any, cast

from llvmlite import binding as llvm

from cellar.engine.backend.compile_worker import LIBC_FUNCTIONS
from cellar.engine.codegen.kernel_source import KERNEL_ENTRY
from cellar.errors import CompileFailed

Builtin = Callable[..., Any]


class NativeFunction:
    """A function in machine code, loaded for as long as this object is referenced.

    A holder of its address must hold the object too: when the object goes, its memory is unmapped, and a call of the
    address crashes the process. A call through the object holds the object.
    """

    __slots__ = ("__weakref__", "_engine", "_function", "address", "size_bytes")

    def __init__(self, engine: llvm.ExecutionEngine, size_bytes: int) -> None:
        self._engine = engine
        """Owns the memory of the code. LLVM's loader has one lock, which its wrapper takes."""
        missing = f"the object file of a kernel has no function {KERNEL_ENTRY}"
        self.address = _present(engine.get_function_address(KERNEL_ENTRY), missing)
        self.size_bytes = size_bytes
        """Size of the object file, which the loader copies into memory."""
        self._function: Callable[[int], int] = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(self.address)

    def __call__(self, argument: int) -> int:
        """Call it with the one integer that a kernel takes. It releases the GIL for as long as it runs."""
        return self._function(argument)


_lock = threading.Lock()


def link(code: bytes) -> NativeFunction:
    """Return the function in an object file. Raise CompileFailed where the file has none."""
    with _lock:
        _initialise()
        machine = llvm.Target.from_default_triple().create_target_machine(opt=3, jit=True)
        # LLVM's own manager may place code and constants further apart than code can reach, and ends the process then.
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine, use_lmm=True)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return NativeFunction(engine, len(code))


def _present(address: int | None, missing: str) -> int:
    """Return an address. The loader returns 0 for a name that it does not find; a call of that crashes the process."""
    if not address:
        raise CompileFailed(missing)
    return address


@functools.cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    process = ctypes.CDLL(None)
    for name in LIBC_FUNCTIONS:
        llvm.add_symbol(name, ctypes.cast(getattr(process, name), ctypes.c_void_p).value)


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_METH_FASTCALL = 0x80


def builtin(code: NativeFunction, name: str) -> Builtin:
    """Return machine code that has CPython's calling convention as a builtin function, which references the code.

    A call costs a twentieth of one through ctypes, and its arguments arrive as the objects that they are.
    """
    method = _MethodDef(name.encode(), code.address, _METH_FASTCALL, None)
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    make = kind(("PyCFunction_NewEx", ctypes.pythonapi))
    # The object in place of "self" lives as long as the function, and with it what the function points to.
    return cast(Builtin, make(ctypes.addressof(method), (code, method), None))


def python_function(name: str) -> int:
    """Return the address of a function of CPython's."""
    function = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    return _present(function, f"this Python has no function {name}")

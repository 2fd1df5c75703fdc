"""Object files to functions in this process, by LLVM's own loader: the service need not load Numba."""

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import NamedTuple, cast

from llvmlite import binding as llvm

from cellar.engine.build import LIBRARY
from cellar.engine.codegen import ENTRY

Function = Callable[[int], int]
Builtin = Callable[..., int]


class Code(NamedTuple):
    """A function in machine code."""

    address: int
    function: Function

    def __call__(self, argument: int) -> int:
        """Call it with the one integer that a kernel takes. It releases the GIL for as long as it runs."""
        return self.function(argument)


_engines: list[llvm.ExecutionEngine] = []
"""Keeps loaded machine code alive: a kernel may run for as long as the process does."""

_lock = threading.Lock()


def link(code: bytes) -> Code:
    """Return the function in an object file."""
    with _lock:
        _initialise()
        machine = llvm.Target.from_default_triple().create_target_machine(opt=3, jit=True)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _engines.append(engine)
        address = engine.get_function_address(ENTRY)
        return Code(address, ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address))


@functools.cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    process = ctypes.CDLL(None)
    for name in LIBRARY:
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

_methods: list[_MethodDef] = []
"""Keeps what builtins point to alive."""


def builtin(code: Code, name: str) -> Builtin:
    """Return a function of machine code that has CPython's calling convention as a builtin function.

    A call costs a twentieth of one through ctypes, and its arguments arrive as the objects that they are.
    """
    method = _MethodDef(name.encode(), code.address, _METH_FASTCALL, None)
    _methods.append(method)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    return cast(Builtin, make(ctypes.addressof(method), None, None))


def python_function(name: str) -> int:
    """Return the address of a function of CPython's."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0

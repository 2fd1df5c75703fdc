"""Source texts of native functions that every service needs besides the kernels of cells, for the compiler.

A text names a function of the engine and makes its entry; it holds no code of its own. The process that serves imports
none of those functions, since they need Numba.
"""

from cellar.engine.codegen.kernel_source import KERNEL_ENTRY
from cellar.engine.target import Registers

_PRODUCT = f"""\
from cellar.engine.kernel_library.matmul import {{name}}
from cellar.engine.target import Registers

{KERNEL_ENTRY} = {{name}}(Registers({{count}}, {{lanes}}))
"""

_ENTRY = f"""\
from numba import cfunc, types

from cellar.engine.{{module}} import {{function}}

{KERNEL_ENTRY} = cfunc(types.int64({{arguments}}), error_model="numpy")({{function}})
"""


def product_texts(registers: Registers) -> tuple[str, str]:
    """Return the programs of the matrix products for these registers: with float32 and with bfloat16 weights."""
    count, lanes = registers.count, registers.lanes
    float32, bfloat16 = (
        _PRODUCT.format(name=name, count=count, lanes=lanes) for name in ("float32_product", "bfloat16_product")
    )
    return float32, bfloat16


def digest_chain_text() -> str:
    """Return the program of a chain of digests: `kernel_library.blake2b.digest_chain`."""
    return _ENTRY.format(module="kernel_library.blake2b", function="digest_chain", arguments="types.int64")


def advance_text() -> str:
    """Return the program of the native call of a network: `native_calls.network_call.advance`."""
    arguments = ", ".join(["types.int64"] * 3)
    return _ENTRY.format(module="native_calls.network_call", function="advance", arguments=arguments)


def readout_text() -> str:
    """Return the program of readouts that learn: `kernel_library.readout.readout`."""
    return _ENTRY.format(module="kernel_library.readout", function="readout", arguments="types.int64")

"""The native function that runs a network: the kernels of all layers, a chunk of steps at a time.

`advance` has CPython's calling convention for builtin functions, finds its arguments' memory itself (`python_objects`),
and allocates nothing. It is compiled once for a target.
"""

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.memory_intrinsics import call_function, read_int, write_int, write_int32
from cellar.engine.native_calls.call_header import HeaderField, Status
from cellar.engine.native_calls.python_objects import (
    array_data,
    header,
    inputs_fit,
    outputs_fit,
    set_header,
    write_arguments,
)
from cellar.engine.passes.memory_plan import HEAD_INDEX

RELEASE_FLOPS = 1_000_000
"""Least work of a call that releases the GIL: some ten microseconds, since taking it again may cost as much."""

_STEPS, _ROWS, _START, _LENGTHS = (8 * HEAD_INDEX[name] for name in ("steps", "rows", "start", "lengths"))
"""Bytes from the beginning of a kernel's descriptor."""

_FLUSHES, _BAD_ARGUMENTS = int(Status.FLUSHES), int(Status.BAD_ARGUMENTS)


def advance(_: int, arguments: int, __: int) -> int:
    """Run `advance(frame, inputs, state, lengths, reset, outputs, after)`; return a `Status` as an object of Python's.

    The frame is an array of 64-bit words; the others are float32 (T, B, in), rows side by side; float32 (B, S), or a
    tuple of records; int32 (B,) and bool (B,), each or None; float32 (T, B, out) and (B, S). The addresses of the seven
    objects stand at `arguments`.
    """
    frame = array_data(read_int(arguments))
    inputs = read_int(arguments + 8)
    state = read_int(arguments + 16)
    lengths = read_int(arguments + 24)
    reset = read_int(arguments + 32)
    outputs = read_int(arguments + 40)
    after = read_int(arguments + 48)
    status = _BAD_ARGUMENTS
    if inputs_fit(frame, inputs, state, lengths, reset) and outputs_fit(frame, inputs, outputs, after):
        write_arguments(frame, inputs, state, lengths, reset, outputs, after)
        status = run_with_released_gil(frame)
    return call_function(header(frame, HeaderField.FROM_LONG), status)


@kernel_function
def run_with_released_gil(frame: int) -> int:
    """Run the call, without the GIL if it is long; return its status."""
    work = header(frame, HeaderField.STEPS) * header(frame, HeaderField.ROWS) * header(frame, HeaderField.FLOPS)
    if work < RELEASE_FLOPS:
        return run(frame)
    thread = call_function(header(frame, HeaderField.SAVE_THREAD), 0)
    status = run(frame)
    call_function(header(frame, HeaderField.RESTORE_THREAD), thread)
    return status


@kernel_function
def run(frame: int) -> int:
    """Run all steps in chunks that the scratch memory holds; return the status."""
    rows = header(frame, HeaderField.ROWS)
    steps = header(frame, HeaderField.STEPS)
    most = max(1, header(frame, HeaderField.CAPACITY) // max(1, rows))
    for row in range(rows):
        write_int32(header(frame, HeaderField.BAD_STEP) + 4 * row, -1)
        write_int32(header(frame, HeaderField.BAD_KIND) + 4 * row, 0)
    status = 0
    start = 0
    while True:
        apply_patches(frame)
        count = min(most, steps - start)
        found = run_chunk(frame, start, count)
        if found == _FLUSHES:
            return found
        status = max(status, found)
        start += count
        if start >= steps:
            break
        continue_after(frame, count)
    return status


@kernel_function
def continue_after(frame: int, count: int) -> None:
    """Let the next chunk read and write `count` steps further on, and begin with the states after this one."""
    inputs = header(frame, HeaderField.INPUTS) + count * header(frame, HeaderField.INPUTS_TIME)
    outputs = header(frame, HeaderField.OUTPUTS) + count * header(frame, HeaderField.OUTPUTS_TIME)
    set_header(frame, HeaderField.INPUTS, inputs)
    set_header(frame, HeaderField.OUTPUTS, outputs)
    set_header(frame, HeaderField.STATE, header(frame, HeaderField.AFTER))
    set_header(frame, HeaderField.STATE_POINTERS, 0)


@kernel_function
def run_chunk(frame: int, start: int, count: int) -> int:
    """Run the kernels of all layers, one after the other, over `count` steps from `start`; return the worst status."""
    status = 0
    at = header(frame, HeaderField.LAYERS)
    for _ in range(header(frame, HeaderField.LAYER_COUNT)):
        descriptor = read_int(at + 8)
        write_int(descriptor + _STEPS, count)
        write_int(descriptor + _ROWS, header(frame, HeaderField.ROWS))
        write_int(descriptor + _START, start)
        write_int(descriptor + _LENGTHS, header(frame, HeaderField.LENGTHS))
        found = call_function(read_int(at), descriptor)
        if found == _FLUSHES:
            return found
        status = max(status, found)
        at += 16
    return status


@kernel_function
def apply_patches(frame: int) -> None:
    """Write the words of descriptors that change with a chunk: each is a field of the header, scaled and shifted."""
    at = header(frame, HeaderField.PATCHES)
    for _ in range(header(frame, HeaderField.PATCH_COUNT)):
        write_int(read_int(at), header(frame, read_int(at + 8)) * read_int(at + 16) + read_int(at + 24))
        at += 32

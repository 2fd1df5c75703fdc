"""The one native call of a network: the text of the function that Python calls, and the words of its frame.

The function has CPython's calling convention for builtins, reads the addresses of its arguments by itself (`abi`),
runs the kernels of all layers, a chunk of steps at a time, and allocates nothing. It is compiled once for a target.
"""

from cellar.engine.native_calls.call_header import HeaderField, Patch, Status
from cellar.engine.native_calls.python_objects import abi_text
from cellar.engine.passes.memory_plan import HEAD_INDEX

RELEASE_FLOPS = 1_000_000
"""Work from which on the GIL is released: some ten microseconds, since taking it back may cost as much."""

_TEXT = """\
from numba import cfunc, types

from cellar.engine.kernel_library.elementary_functions import kernel_function
from cellar.engine.kernel_library.memory_intrinsics import (
    call_1, read_byte, read_int, read_int32, write_int, write_int32,
)


{abi}

@kernel_function
def patch(frame, start):
    at = word(frame, {w.PATCHES})
    for _ in range(word(frame, {w.PATCH_COUNT})):
        what = read_int(at + 8)
        number = read_int(at + 16)
        value = 0
        if what == {p.INPUTS}:
            value = word(frame, {w.INPUTS}) + start * word(frame, {w.INPUTS_TIME})
        elif what == {p.INPUTS_TIME}:
            value = word(frame, {w.INPUTS_TIME})
        elif what == {p.OUTPUTS}:
            value = word(frame, {w.OUTPUTS}) + start * word(frame, {w.OUTPUTS_TIME}) + number
        elif what == {p.OUTPUTS_TIME}:
            value = word(frame, {w.OUTPUTS_TIME})
        elif what == {p.STATE}:
            value = (word(frame, {w.STATE}) if start == 0 else word(frame, {w.AFTER})) + number
        elif what == {p.SOURCES}:
            value = word(frame, {w.SOURCES}) if start == 0 else 0
        elif what == {p.AFTER}:
            value = word(frame, {w.AFTER}) + number
        else:
            value = number * word(frame, {w.ROWS})
        write_int(read_int(at), value)
        at += 24


@kernel_function
def chunk(frame, start, count):
    # Return 1 if the thread flushes subnormals, 2 if there was a fault, else 0.
    status = 0
    at = word(frame, {w.LAYERS})
    for _ in range(word(frame, {w.LAYER_COUNT})):
        descriptor = read_int(at + 8)
        write_int(descriptor + 8 * {at[steps]}, count)
        write_int(descriptor + 8 * {at[rows]}, word(frame, {w.ROWS}))
        write_int(descriptor + 8 * {at[start]}, start)
        write_int(descriptor + 8 * {at[lengths]}, word(frame, {w.LENGTHS}))
        found = call_1(read_int(at), descriptor)
        if found == 1:
            return 1
        status = max(status, found)
        at += 16
    return status


@kernel_function
def run(frame):
    rows = word(frame, {w.ROWS})
    steps = word(frame, {w.STEPS})
    most = max(1, word(frame, {w.CAPACITY}) // max(1, rows))
    for row in range(rows):
        write_int32(word(frame, {w.BAD_STEP}) + 4 * row, -1)
        write_int32(word(frame, {w.BAD_KIND}) + 4 * row, 0)
    status = 0
    start = 0
    while True:
        patch(frame, start)
        count = min(most, steps - start)
        found = chunk(frame, start, count)
        if found == 1:
            return 1
        status = max(status, found)
        start += count
        if start >= steps:
            break
    return status


@kernel_function
def run_bound(frame):
    work = word(frame, {w.STEPS}) * word(frame, {w.ROWS}) * word(frame, {w.FLOPS})
    if work < {release_flops}:
        return run(frame)
    thread = call_1(word(frame, {w.SAVE_THREAD}), 0)
    status = run(frame)
    call_1(word(frame, {w.RESTORE_THREAD}), thread)
    return status

@kernel_function
def answers(frame, inputs, outputs, after):
    # Whether these are arrays for what kernels answer.
    steps, rows = extent(inputs, 0), extent(inputs, 1)
    if not (is_steps(frame, outputs, word(frame, {w.OUT_SIZE})) and extent(outputs, 0) == steps):
        return False
    return extent(outputs, 1) == rows and is_table(frame, after, rows, word(frame, {w.STATE_SIZE}))


@cfunc(types.int64(types.int64, types.int64, types.int64), nopython=True, error_model='numpy')
def cellar_kernel(_, arguments, count):
    frame = data(read_int(arguments))
    inputs = read_int(arguments + 8)
    state = read_int(arguments + 16)
    lengths = read_int(arguments + 24)
    reset = read_int(arguments + 32)
    outputs = read_int(arguments + 40)
    after = read_int(arguments + 48)
    status = {status.BAD_ARGUMENTS}
    if fits(frame, inputs, state, lengths, reset) and answers(frame, inputs, outputs, after):
        bind(frame, inputs, state, lengths, reset, outputs, after)
        status = run_bound(frame)
    return call_1(word(frame, {w.FROM_LONG}), status)
"""


def advance_text() -> str:
    """Return the text of `advance(frame, inputs, state, lengths, reset, outputs, after)`.

    The frame is an array of 64-bit words; the others are float32 (T, B, in), rows side by side; float32 (B, S), or a
    tuple of records; int32 (B,) and bool (B,), each or None; float32 (T, B, out) and (B, S). It returns a `Status`.
    """
    return _TEXT.format(
        abi=abi_text(), w=HeaderField, p=Patch, status=Status, at=HEAD_INDEX, release_flops=RELEASE_FLOPS
    )

"""The native function that runs a network: the kernels of all layers, a chunk of steps at a time.

`advance` has CPython's calling convention for builtin functions, finds its arguments' memory itself (`python_objects`),
and allocates nothing. It is compiled once for a target.
"""

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.memory_intrinsics import call_function, read_int, write_int, write_int32
from cellar.engine.native_calls.call_header import HeaderField, Status
from cellar.engine.native_calls.python_objects import (
    are_models,
    array_data,
    header,
    inputs_fit,
    model_count,
    model_rows,
    model_weights,
    outputs_fit,
    set_header,
    write_arguments,
)
from cellar.engine.passes.memory_plan import HEAD_INDEX

RELEASE_FLOPS = 1_000_000
"""Least work of a call that releases the GIL: some ten microseconds, since taking it again may cost as much."""

_STEPS, _ROWS, _START, _LENGTHS, _BAD_STEP, _BAD_KIND = (
    8 * HEAD_INDEX[name] for name in ("steps", "rows", "start", "lengths", "bad_step", "bad_kind")
)
"""Bytes from the beginning of a kernel's descriptor."""

_FLUSHES, _BAD_ARGUMENTS = int(Status.FLUSHES), int(Status.BAD_ARGUMENTS)


def advance(_: int, arguments: int, __: int) -> int:
    """Run `advance(frame, models, inputs, state, lengths, reset, outputs, after)`; return a `Status` as an `int`.

    The frame is an array of 64-bit words. `models` are bytes: for each model two words, the number of its rows and the
    address of the words of its weights. The last model has all rows that are left. The others are float32 (T, B, in),
    rows side by side; float32 (B, S), or a tuple of records; int32 (B,) and bool (B,), each or None; float32
    (T, B, out) and (B, S). The addresses of the eight objects stand at `arguments`.
    """
    frame = array_data(read_int(arguments))
    models = read_int(arguments + 8)
    inputs = read_int(arguments + 16)
    state = read_int(arguments + 24)
    lengths = read_int(arguments + 32)
    reset = read_int(arguments + 40)
    outputs = read_int(arguments + 48)
    after = read_int(arguments + 56)
    status = _BAD_ARGUMENTS
    if (
        are_models(frame, models)
        and inputs_fit(frame, inputs, state, lengths, reset)
        and outputs_fit(frame, inputs, outputs, after)
    ):
        write_arguments(frame, inputs, state, lengths, reset, outputs, after)
        status = run_with_released_gil(frame, models)
    return call_function(header(frame, HeaderField.FROM_LONG), status)


@kernel_function
def run_with_released_gil(frame: int, models: int) -> int:
    """Run the call, without the GIL if it is long; return its status."""
    work = header(frame, HeaderField.STEPS) * header(frame, HeaderField.ROWS) * header(frame, HeaderField.FLOPS)
    if work < RELEASE_FLOPS:
        return run_models(frame, models)
    thread = call_function(header(frame, HeaderField.SAVE_THREAD), 0)
    status = run_models(frame, models)
    call_function(header(frame, HeaderField.RESTORE_THREAD), thread)
    return status


@kernel_function
def run_models(frame: int, models: int) -> int:
    """Run the rows of each model with its weights; return the worst status."""
    bad_step, bad_kind = header(frame, HeaderField.BAD_STEP), header(frame, HeaderField.BAD_KIND)
    left = header(frame, HeaderField.ROWS)
    last = model_count(models) - 1
    status = 0
    for index in range(last + 1):
        rows = left if index == last else min(max(model_rows(models, index), 0), left)
        left -= rows
        inputs, outputs = header(frame, HeaderField.INPUTS), header(frame, HeaderField.OUTPUTS)
        state, pointers = header(frame, HeaderField.STATE), header(frame, HeaderField.STATE_POINTERS)
        set_header(frame, HeaderField.ROWS, rows)
        write_weights(frame, model_weights(models, index))
        found = run(frame)
        if found == _FLUSHES:
            status = found
            break
        status = max(status, found)
        set_header(frame, HeaderField.INPUTS, inputs)
        set_header(frame, HeaderField.OUTPUTS, outputs)
        set_header(frame, HeaderField.STATE, state)
        set_header(frame, HeaderField.STATE_POINTERS, pointers)
        skip_rows(frame, rows)
    set_header(frame, HeaderField.BAD_STEP, bad_step)
    set_header(frame, HeaderField.BAD_KIND, bad_kind)
    return status


@kernel_function
def write_weights(frame: int, words: int) -> None:
    """Write the addresses of a model's weights to the descriptors."""
    at = header(frame, HeaderField.WEIGHT_PLACES)
    for _ in range(header(frame, HeaderField.WEIGHT_COUNT)):
        write_int(read_int(at), read_int(words))
        at += 8
        words += 8


@kernel_function
def skip(frame: int, field: int, count: int) -> None:
    """Move an address of the header on by `count` bytes, unless it is 0."""
    if header(frame, field) != 0:
        set_header(frame, field, header(frame, field) + count)


@kernel_function
def skip_rows(frame: int, rows: int) -> None:
    """Move all addresses of rows on to the rows of the next model."""
    skip(frame, HeaderField.INPUTS, 4 * header(frame, HeaderField.IN_SIZE) * rows)
    skip(frame, HeaderField.OUTPUTS, 4 * header(frame, HeaderField.OUT_SIZE) * rows)
    skip(frame, HeaderField.STATE, 4 * header(frame, HeaderField.STATE_SIZE) * rows)
    skip(frame, HeaderField.AFTER, 4 * header(frame, HeaderField.STATE_SIZE) * rows)
    skip(frame, HeaderField.STATE_POINTERS, 8 * rows)
    skip(frame, HeaderField.LENGTHS, 4 * rows)
    skip(frame, HeaderField.BAD_STEP, 4 * rows)
    skip(frame, HeaderField.BAD_KIND, 4 * rows)


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
        write_int(descriptor + _BAD_STEP, header(frame, HeaderField.BAD_STEP))
        write_int(descriptor + _BAD_KIND, header(frame, HeaderField.BAD_KIND))
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

"""The source text of the native function that runs the kernels and copies of a command list in order."""

from enum import IntEnum, auto

FLUSHES = 1
"""The status that a kernel returns in a thread that flushes subnormal numbers."""


class CommandField(IntEnum):
    """Words of 64 bits that make up a command."""

    KIND = 0
    SOURCE = 1
    """The address that a copy reads from; of a call, the address of its kernel."""
    TARGET = 2
    """The address that a copy writes to; of a call, the address of its descriptor."""
    EXTENTS = 3
    """Lengths of three axes."""
    SOURCE_STRIDES = 6
    """In bytes, for each axis."""
    TARGET_STRIDES = 9
    LENGTHS = 12
    """Of a reversal, the address of an int32 for each row."""
    COUNT = 13


class CommandKind(IntEnum):
    """The kinds of commands."""

    CALL = 0
    COPY = auto()
    """Copies floats, with strides for each axis."""
    FLUSH = auto()
    """Copies floats, the last axis dense; magnitudes below 2^-63 become +0."""
    ADD = auto()
    """Adds floats to those at the target, the last axis dense."""
    REVERSE = auto()
    """Copies floats (T, B, size), the last axis dense, with the first steps of each row in reverse order."""


_TEXT = """\
from numba import cfunc, types

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.elementary_functions import flush
from cellar.engine.kernel_library.memory_intrinsics import (
    call_function, load, load_first, read_int, read_int32, store, write_int32,
)
from cellar.engine.kernel_library.row_copy import store_partial
from cellar.engine.kernel_library.simd import add, first


@kernel_function
def read(place, left):
    if left >= 16:
        return load(place)
    return load_first(place, first(left))


@kernel_function
def copy_dense(kind, source, target, count):
    done = 0
    while done < count:
        left = count - done
        value = read(source + 4 * done, left)
        if kind == {k.FLUSH}:
            value = flush(value)
        elif kind == {k.ADD}:
            value = add(read(target + 4 * done, left), value)
        store_partial(target + 4 * done, value, left)
        done += 16


@kernel_function
def copy(step, kind):
    source_row = read_int(step + 8 * {f.SOURCE_STRIDES} + 8)
    target_row = read_int(step + 8 * {f.TARGET_STRIDES} + 8)
    source_each = read_int(step + 8 * {f.SOURCE_STRIDES} + 16)
    target_each = read_int(step + 8 * {f.TARGET_STRIDES} + 16)
    count = read_int(step + 8 * {f.EXTENTS} + 16)
    for i in range(read_int(step + 8 * {f.EXTENTS})):
        source = read_int(step + 8 * {f.SOURCE}) + i * read_int(step + 8 * {f.SOURCE_STRIDES})
        target = read_int(step + 8 * {f.TARGET}) + i * read_int(step + 8 * {f.TARGET_STRIDES})
        for _ in range(read_int(step + 8 * {f.EXTENTS} + 8)):
            if source_each == 4 and target_each == 4:
                copy_dense(kind, source, target, count)
            else:
                for k in range(count):
                    write_int32(target + k * target_each, read_int32(source + k * source_each))
            source += source_row
            target += target_row


@kernel_function
def reverse(step):
    steps = read_int(step + 8 * {f.EXTENTS})
    rows = read_int(step + 8 * {f.EXTENTS} + 8)
    count = read_int(step + 8 * {f.EXTENTS} + 16)
    for time in range(steps):
        target = read_int(step + 8 * {f.TARGET}) + time * read_int(step + 8 * {f.TARGET_STRIDES})
        for row in range(rows):
            length = min(read_int32(read_int(step + 8 * {f.LENGTHS}) + 4 * row), steps)
            other = length - 1 - time if time < length else time
            source = read_int(step + 8 * {f.SOURCE}) + other * read_int(step + 8 * {f.SOURCE_STRIDES})
            source += row * read_int(step + 8 * {f.SOURCE_STRIDES} + 8)
            copy_dense({k.COPY}, source, target + row * read_int(step + 8 * {f.TARGET_STRIDES} + 8), count)


@cfunc(types.int64(types.int64), nopython=True, error_model='numpy')
def cellar_kernel(recording):
    step = recording + 8
    worst = 0
    for index in range(read_int(recording)):
        kind = read_int(step)
        if kind == {k.CALL}:
            status = call_function(read_int(step + 8 * {f.SOURCE}), read_int(step + 8 * {f.TARGET}))
            if status == {flushes}:
                return status
            worst = max(worst, status)
        elif kind == {k.REVERSE}:
            reverse(step)
        else:
            copy(step, kind)
        step += 8 * {f.COUNT}
    return worst
"""


def command_list_text() -> str:
    """Return the text of a function that runs a command list: their number, and the commands (`CommandField`).

    The function returns the largest status of a kernel, 0 if all succeeded, or FLUSHES at once.
    """
    return _TEXT.format(f=CommandField, k=CommandKind, flushes=FLUSHES)

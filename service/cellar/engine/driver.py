"""The one native call of a network: the text of the function that Python calls, and the words of its frame.

The function has CPython's calling convention for builtins, reads the addresses of its NumPy arguments by itself, runs
the kernels of all layers, a chunk of steps at a time, and allocates nothing. It is compiled once for a target.
"""

from cellar.engine.layout import AT, COMPUTE_AHEAD, USE_AHEAD
from cellar.engine.words import Patch, Status, Word

RELEASE_FLOPS = 1_000_000
"""Work from which on the GIL is released: some ten microseconds, since taking it back may cost as much."""

FLOAT32_NUMBER = 11
"""NumPy's NPY_FLOAT."""

_TEXT = """\
from numba import cfunc, types

from cellar.engine.activations import kernel
from cellar.engine.memory import call_1, call_2, call_3, call_9, copy_bytes
from cellar.engine.memory import read_int, read_int32, write_int, write_int32


@kernel
def word(frame, index):
    return read_int(frame + 8 * index)


@kernel
def data(array):
    return read_int(array + {data})


@kernel
def axes(array):
    return read_int32(array + {axes})


@kernel
def extent(array, axis):
    return read_int(read_int(array + {extents}) + 8 * axis)


@kernel
def stride(array, axis):
    return read_int(read_int(array + {strides}) + 8 * axis)


@kernel
def packed(array, axis, size):
    return extent(array, axis) <= 1 or stride(array, axis) == size


@kernel
def is_rows(array, axis, size, count):
    # the last two axes: rows side by side, of as many floats as they should have (an empty array has no strides)
    if extent(array, axis + 1) != size:
        return False
    return count * size == 0 or (packed(array, axis, 4 * size) and packed(array, axis + 1, 4))


@kernel
def is_array(frame, array):
    # of the very type: no more than its head is known of another object, and reading on may leave its memory
    return read_int(array + {type}) == word(frame, {w.NDARRAY})


@kernel
def is_float32(frame, array, count):
    if not is_array(frame, array):
        return False
    aligned = (read_int32(array + {flags}) & {aligned}) != 0
    return axes(array) == count and read_int(array + {descr}) == word(frame, {w.FLOAT32}) and aligned


@kernel
def fits(frame, inputs, state, outputs, after):
    if not (is_float32(frame, inputs, 3) and is_float32(frame, outputs, 3)):
        return False
    if not (is_float32(frame, state, 2) and is_float32(frame, after, 2)):
        return False
    rows = extent(inputs, 1)
    if extent(state, 0) != rows or rows > word(frame, {w.CAPACITY}):
        return False
    states = word(frame, {w.STATE_SIZE})
    if not (is_rows(state, 0, states, rows) and is_rows(after, 0, states, rows)):
        return False
    count = extent(inputs, 0) * rows
    return is_rows(inputs, 1, word(frame, {w.IN_SIZE}), count) and is_rows(outputs, 1, word(frame, {w.OUT_SIZE}), count)


@kernel
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
        elif what == {p.AFTER}:
            value = word(frame, {w.AFTER}) + number
        else:
            value = number * word(frame, {w.ROWS})
        write_int(read_int(at), value)
        at += 24


@kernel
def stash(frame, back):
    place = word(frame, {w.STASH})
    for row in range(word(frame, {w.ROWS})):
        at = word(frame, {w.STASHED})
        for _ in range(word(frame, {w.STASHED_COUNT})):
            size = read_int(at + 8)
            buffer = read_int(at) + row * size
            if back:
                copy_bytes(place, buffer, size)
            else:
                copy_bytes(buffer, place, size)
            place += size
            at += 16


@kernel
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
        write_int(descriptor + 8 * {at[ahead]}, word(frame, {w.AHEAD}))
        found = call_1(read_int(at), descriptor)
        if found == 1:
            return 1
        status = max(status, found)
        at += 16
    return status


@kernel
def run(frame):
    rows = word(frame, {w.ROWS})
    steps = word(frame, {w.STEPS})
    most = max(1, word(frame, {w.CAPACITY}) // max(1, rows))
    for row in range(rows):
        write_int32(word(frame, {w.BAD_STEP}) + 4 * row, -1)
        write_int32(word(frame, {w.BAD_KIND}) + 4 * row, 0)
    if word(frame, {w.AHEAD}) == {use_ahead}:
        stash(frame, True)
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
    if word(frame, {w.AHEAD}) == {compute_ahead}:
        stash(frame, False)
    return status

@kernel
def bind(frame, inputs, state, outputs, after, lengths, ahead):
    none = word(frame, {w.NONE})
    write_int(frame + 8 * {w.STEPS}, extent(inputs, 0))
    write_int(frame + 8 * {w.ROWS}, extent(inputs, 1))
    write_int(frame + 8 * {w.LENGTHS}, 0 if lengths == none else data(lengths))
    write_int(frame + 8 * {w.INPUTS}, data(inputs))
    write_int(frame + 8 * {w.INPUTS_TIME}, stride(inputs, 0))
    write_int(frame + 8 * {w.OUTPUTS}, data(outputs))
    write_int(frame + 8 * {w.OUTPUTS_TIME}, stride(outputs, 0))
    write_int(frame + 8 * {w.STATE}, data(state))
    write_int(frame + 8 * {w.AFTER}, data(after))
    write_int(frame + 8 * {w.STASH}, 0 if ahead == none else data(ahead))


@kernel
def run_bound(frame):
    work = word(frame, {w.STEPS}) * word(frame, {w.ROWS}) * word(frame, {w.FLOPS})
    if work < {release_flops}:
        return run(frame)
    thread = call_1(word(frame, {w.SAVE_THREAD}), 0)
    status = run(frame)
    call_1(word(frame, {w.RESTORE_THREAD}), thread)
    return status
"""

_ADVANCE = """

@cfunc(types.int64(types.int64, types.int64, types.int64), nopython=True, error_model='numpy')
def cellar_kernel(_, arguments, count):
    frame = data(read_int(arguments))
    inputs = read_int(arguments + 8)
    state = read_int(arguments + 16)
    outputs = read_int(arguments + 24)
    after = read_int(arguments + 32)
    status = {status.UNFIT}
    if fits(frame, inputs, state, outputs, after):
        bind(frame, inputs, state, outputs, after, read_int(arguments + 40), read_int(arguments + 48))
        status = run_bound(frame)
    return call_1(word(frame, {w.FROM_LONG}), status)
"""

_STEP = """

@kernel
def new_array(frame, count):
    extents = frame + 8 * {w.EXTENTS}
    return call_9(word(frame, {w.NEW_ARRAY}), word(frame, {w.NDARRAY}), count, extents, {float32}, 0, 0, 0, 0, 0)


@kernel
def none_again(frame):
    call_1(word(frame, {w.INCREF}), word(frame, {w.NONE}))
    return word(frame, {w.NONE})


@kernel
def new_run(frame, outputs, after):
    run = call_2(word(frame, {w.NEW_OBJECT}), word(frame, {w.RUN_TYPE}), 5)
    if run == 0:
        call_1(word(frame, {w.DECREF}), outputs)
        call_1(word(frame, {w.DECREF}), after)
        return 0
    call_3(word(frame, {w.SET_ITEM}), run, 0, outputs)
    call_3(word(frame, {w.SET_ITEM}), run, 1, after)
    for item in range(2, 5):
        call_3(word(frame, {w.SET_ITEM}), run, item, none_again(frame))
    return run


@kernel
def small(frame, inputs, state):
    # Whether this frame takes the call: nobody has it, it is large enough, and there is something to do.
    if word(frame, {w.BUSY}) != 0 or not (is_float32(frame, inputs, 3) and is_float32(frame, state, 2)):
        return False
    work = extent(inputs, 0) * extent(inputs, 1)
    return work > 0 and work <= word(frame, {w.CAPACITY})


@cfunc(types.int64(types.int64, types.int64, types.int64), nopython=True, error_model='numpy')
def cellar_kernel(_, arguments, count):
    frame = data(read_int(arguments))
    inputs = read_int(arguments + 8)
    state = read_int(arguments + 16)
    if not small(frame, inputs, state):
        return none_again(frame)
    write_int(frame + 8 * {w.EXTENTS}, extent(inputs, 0))
    write_int(frame + 8 * {w.EXTENTS_1}, extent(inputs, 1))
    write_int(frame + 8 * {w.EXTENTS_2}, word(frame, {w.OUT_SIZE}))
    outputs = new_array(frame, 3)
    if outputs == 0:
        return 0
    write_int(frame + 8 * {w.EXTENTS}, extent(inputs, 1))
    write_int(frame + 8 * {w.EXTENTS_1}, word(frame, {w.STATE_SIZE}))
    after = new_array(frame, 2)
    if after == 0:
        call_1(word(frame, {w.DECREF}), outputs)
        return 0
    status = {status.UNFIT}
    if fits(frame, inputs, state, outputs, after):
        write_int(frame + 8 * {w.BUSY}, 1)
        bind(frame, inputs, state, outputs, after, word(frame, {w.NONE}), word(frame, {w.NONE}))
        status = run_bound(frame)
        write_int(frame + 8 * {w.BUSY}, 0)
    if status == {status.FINE}:
        return new_run(frame, outputs, after)
    call_1(word(frame, {w.DECREF}), outputs)
    call_1(word(frame, {w.DECREF}), after)
    return none_again(frame)
"""


def advance_text() -> str:
    """Return the text of `advance(frame, inputs, state, outputs, after, lengths, ahead)`.

    Its arguments are NumPy arrays: the frame of 64-bit words; float32 (T, B, in), (B, S), (T, B, out) and (B, S), rows
    side by side; int32 (B,) or None; float32 or None. It returns a `Status`.
    """
    return _filled(_TEXT + _ADVANCE)


def step_text() -> str:
    """Return the text of `step(frame, inputs, state)`, for calls that fit into a frame which is at hand.

    It makes the arrays of the answer itself and returns the result, or None for anything out of the ordinary: the frame
    is in use, the arrays are not laid out as kernels read them, a number is not finite. Nothing has happened then.
    """
    return _filled(_TEXT + _STEP)


def _filled(text: str) -> str:
    """Return a text with its numbers.

    What it reads of an array stands at the offsets that NumPy's ABI fixes (PyArrayObject_fields), behind CPython's
    object head.
    """
    head = object.__basicsize__
    return text.format(
        w=Word,
        p=Patch,
        status=Status,
        at=AT,
        compute_ahead=COMPUTE_AHEAD,
        use_ahead=USE_AHEAD,
        release_flops=RELEASE_FLOPS,
        float32=FLOAT32_NUMBER,
        type=head - 8,
        data=head,
        axes=head + 8,
        extents=head + 16,
        strides=head + 24,
        descr=head + 40,
        flags=head + 48,
        aligned=0x100,
    )

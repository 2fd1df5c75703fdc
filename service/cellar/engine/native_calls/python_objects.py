"""What the one native call reads of Python's objects: the text of functions that find their way in them.

They read at the offsets that the ABIs of CPython (PyBytesObject, PyTupleObject) and NumPy (PyArrayObject_fields) fix,
and only of objects whose type is the very one they know: of another object no more than its head is known, and reading
on may leave its memory. All of it happens while the GIL is held.
"""

from cellar.engine.native_calls.call_header import HeaderField

_HEAD = object.__basicsize__
"""Bytes of the head of every object, of which the last word is its type."""

_OFFSETS = {
    "type": _HEAD - 8,
    "count": _HEAD,
    "items": tuple.__basicsize__,
    "content": bytes.__basicsize__ - 1,  # which counts the zero at the end
    "data": _HEAD,
    "axes": _HEAD + 8,
    "extents": _HEAD + 16,
    "strides": _HEAD + 24,
    "descr": _HEAD + 40,
    "flags": _HEAD + 48,
    "aligned": 0x100,
}

_TEXT = """\
@kernel_function
def word(frame, index):
    return read_int(frame + 8 * index)


@kernel_function
def is_exactly(frame, thing, kind):
    return read_int(thing + {type}) == word(frame, kind)


@kernel_function
def data(array):
    return read_int(array + {data})


@kernel_function
def extent(array, axis):
    return read_int(read_int(array + {extents}) + 8 * axis)


@kernel_function
def stride(array, axis):
    return read_int(read_int(array + {strides}) + 8 * axis)


@kernel_function
def packed(array, axis, size):
    return extent(array, axis) <= 1 or stride(array, axis) == size


@kernel_function
def is_array(frame, array, kind, axes):
    if not is_exactly(frame, array, {w.NDARRAY}):
        return False
    aligned = (read_int32(array + {flags}) & {aligned}) != 0
    return read_int32(array + {axes}) == axes and read_int(array + {descr}) == word(frame, kind) and aligned


@kernel_function
def is_rows(array, axis, size, count):
    # the last two axes: rows side by side, of as many floats as they should have (an empty array has no strides)
    if extent(array, axis + 1) != size:
        return False
    return count * size == 0 or (packed(array, axis, 4 * size) and packed(array, axis + 1, 4))


@kernel_function
def is_table(frame, array, rows, size):
    # float32 (rows, size), side by side
    return is_array(frame, array, {w.FLOAT32}, 2) and extent(array, 0) == rows and is_rows(array, 0, size, rows)


@kernel_function
def is_steps(frame, array, size):
    # float32 (T, B, size), the rows of a step side by side
    if not is_array(frame, array, {w.FLOAT32}, 3):
        return False
    return is_rows(array, 1, size, extent(array, 0) * extent(array, 1))


@kernel_function
def is_column(frame, array, kind, size, rows):
    return is_array(frame, array, kind, 1) and extent(array, 0) == rows and packed(array, 0, size)


@kernel_function
def find_records(frame, records, rows):
    # Note where each row begins; return whether the records hold so many. Where there is no state, they are empty.
    size = 4 * word(frame, {w.STATE_SIZE})
    table = word(frame, {w.ROW_TABLE})
    row = 0
    for item in range(read_int(records + {count})):
        record = read_int(records + {items} + 8 * item)
        if not is_exactly(frame, record, {w.BYTES}):
            return False
        left = read_int(record + {count})
        place = record + {content}
        while 0 < size <= left and row < rows:
            write_int(table + 8 * row, place)
            row += 1
            place += size
            left -= size
        if left != 0:
            return False
    return row == rows or size == 0


@kernel_function
def fits(frame, inputs, state, lengths, reset):
    # Whether the arguments are what kernels can read; that of records stands in the table of rows then.
    none = word(frame, {w.NONE})
    if not is_steps(frame, inputs, word(frame, {w.IN_SIZE})):
        return False
    rows = extent(inputs, 1)
    if rows > word(frame, {w.CAPACITY}):
        return False
    if lengths != none and not is_column(frame, lengths, {w.INT32}, 4, rows):
        return False
    if reset != none and not is_column(frame, reset, {w.BOOL}, 1, rows):
        return False
    if is_exactly(frame, state, {w.TUPLE}):
        return find_records(frame, state, rows)
    return is_table(frame, state, rows, word(frame, {w.STATE_SIZE}))


@kernel_function
def bind_lengths(frame, lengths, steps, rows):
    # Copied, within the steps: kernels index by them, and what is the caller's may change while the GIL is released.
    if lengths == word(frame, {w.NONE}):
        write_int(frame + 8 * {w.LENGTHS}, 0)
        return
    table = word(frame, {w.LENGTH_TABLE})
    for row in range(rows):
        write_int32(table + 4 * row, min(max(read_int32(data(lengths) + 4 * row), 0), steps))
    write_int(frame + 8 * {w.LENGTHS}, table)


@kernel_function
def bind_state(frame, state, reset, rows):
    # An array of which no row begins anew needs no table.
    anew = reset != word(frame, {w.NONE})
    table = word(frame, {w.ROW_TABLE})
    dense = not is_exactly(frame, state, {w.TUPLE})
    write_int(frame + 8 * {w.STATE}, data(state) if dense else 0)
    write_int(frame + 8 * {w.SOURCES}, 0 if dense and not anew else table)
    if not anew:
        return
    if dense:
        for row in range(rows):
            write_int(table + 8 * row, data(state) + 4 * word(frame, {w.STATE_SIZE}) * row)
    for row in range(rows):
        if read_byte(data(reset) + row) != 0:
            write_int(table + 8 * row, 0)


@kernel_function
def bind(frame, inputs, state, lengths, reset, outputs, after):
    steps = extent(inputs, 0)
    rows = extent(inputs, 1)
    write_int(frame + 8 * {w.STEPS}, steps)
    write_int(frame + 8 * {w.ROWS}, rows)
    write_int(frame + 8 * {w.INPUTS}, data(inputs))
    write_int(frame + 8 * {w.INPUTS_TIME}, stride(inputs, 0))
    write_int(frame + 8 * {w.OUTPUTS}, data(outputs))
    write_int(frame + 8 * {w.OUTPUTS_TIME}, stride(outputs, 0))
    write_int(frame + 8 * {w.AFTER}, data(after))
    bind_lengths(frame, lengths, steps, rows)
    bind_state(frame, state, reset, rows)
"""


def abi_text() -> str:
    """Return the text of `fits` and `bind`, and of what they are made of."""
    return _TEXT.format(w=HeaderField, **_OFFSETS)

"""Reads NumPy arrays, bytes and tuples at their addresses inside the native call, after checking their types.

The functions read at the offsets that the ABIs of CPython (PyBytesObject, PyTupleObject) and NumPy
(PyArrayObject_fields) fix, and only in objects of exactly the expected type. Of any other object no more than its head
is known, and a read behind that may leave its memory. All of it happens while the GIL is held.
"""

from cellar.engine.kernel_library.decorators import kernel_function
from cellar.engine.kernel_library.memory_intrinsics import read_byte, read_int, read_int32, write_int, write_int32
from cellar.engine.native_calls.call_header import HeaderField

_HEAD = object.__basicsize__
"""Bytes of the head of every object, of which the last word is its type."""

_TYPE = _HEAD - 8
_COUNT = _HEAD
_ITEMS = tuple.__basicsize__
_CONTENT = bytes.__basicsize__ - 1  # which counts the zero at the end
_DATA = _HEAD
_AXES = _HEAD + 8
_SHAPE = _HEAD + 16
_STRIDES = _HEAD + 24
_DTYPE = _HEAD + 40
_FLAGS = _HEAD + 48
_ALIGNED = 0x100


@kernel_function
def header(frame: int, field: int) -> int:
    """Return a field of the frame's header."""
    return read_int(frame + 8 * field)


@kernel_function
def set_header(frame: int, field: int, value: int) -> None:
    """Write a field of the frame's header."""
    write_int(frame + 8 * field, value)


@kernel_function
def is_exactly(frame: int, thing: int, kind: int) -> bool:
    """Return whether an object has exactly the type at a field of the header."""
    return read_int(thing + _TYPE) == header(frame, kind)


@kernel_function
def array_data(array: int) -> int:
    """Return the address of an array's numbers."""
    return read_int(array + _DATA)


@kernel_function
def extent(array: int, axis: int) -> int:
    """Return the length of an axis."""
    return read_int(read_int(array + _SHAPE) + 8 * axis)


@kernel_function
def stride(array: int, axis: int) -> int:
    """Return the bytes from one element of an axis to the next."""
    return read_int(read_int(array + _STRIDES) + 8 * axis)


@kernel_function
def is_dense(array: int, axis: int, size: int) -> bool:
    """Return whether the elements of an axis are `size` bytes apart."""
    return extent(array, axis) <= 1 or stride(array, axis) == size


@kernel_function
def is_array(frame: int, array: int, dtype: int, axes: int) -> bool:
    """Return whether an object is an aligned array with `axes` axes, of the dtype in a field of the header."""
    if not is_exactly(frame, array, HeaderField.NDARRAY):
        return False
    aligned = (read_int32(array + _FLAGS) & _ALIGNED) != 0
    return read_int32(array + _AXES) == axes and read_int(array + _DTYPE) == header(frame, dtype) and aligned


@kernel_function
def has_dense_rows(array: int, axis: int, size: int, count: int) -> bool:
    """Return whether the axes from `axis` on are rows of `size` floats, side by side; `count` rows may be none."""
    if extent(array, axis + 1) != size:
        return False
    return count * size == 0 or (is_dense(array, axis, 4 * size) and is_dense(array, axis + 1, 4))


@kernel_function
def is_table(frame: int, array: int, rows: int, size: int) -> bool:
    """Return whether an object is float32 (rows, size), its rows side by side."""
    fits = is_array(frame, array, HeaderField.FLOAT32, 2) and extent(array, 0) == rows
    return fits and has_dense_rows(array, 0, size, rows)


@kernel_function
def is_sequence(frame: int, array: int, size: int) -> bool:
    """Return whether an object is float32 (T, B, size), the rows of a step side by side."""
    if not is_array(frame, array, HeaderField.FLOAT32, 3):
        return False
    return has_dense_rows(array, 1, size, extent(array, 0) * extent(array, 1))


@kernel_function
def is_column(frame: int, array: int, dtype: int, size: int, rows: int) -> bool:
    """Return whether an object is an array (rows,) of a dtype whose numbers have `size` bytes."""
    return is_array(frame, array, dtype, 1) and extent(array, 0) == rows and is_dense(array, 0, size)


@kernel_function
def locate_rows(frame: int, records: int, rows: int) -> bool:
    """Write the address of each row in a tuple of records to the table of rows; return whether the number is right.

    Where there is no state, records are empty, however many there are.
    """
    size = 4 * header(frame, HeaderField.STATE_SIZE)
    table = header(frame, HeaderField.ROW_TABLE)
    row = 0
    for item in range(read_int(records + _COUNT)):
        record = read_int(records + _ITEMS + 8 * item)
        if not is_exactly(frame, record, HeaderField.BYTES):
            return False
        left = read_int(record + _COUNT)
        place = record + _CONTENT
        while 0 < size <= left and row < rows:
            write_int(table + 8 * row, place)
            row += 1
            place += size
            left -= size
        if left != 0:
            return False
    return row == rows or size == 0


@kernel_function
def are_models(frame: int, models: int) -> bool:
    """Return whether an object is bytes of at least one pair of words."""
    return is_exactly(frame, models, HeaderField.BYTES) and read_int(models + _COUNT) >= 16


@kernel_function
def model_count(models: int) -> int:
    """Return the number of pairs."""
    return read_int(models + _COUNT) // 16


@kernel_function
def model_rows(models: int, index: int) -> int:
    """Return the number of rows of a model."""
    return read_int(models + _CONTENT + 16 * index)


@kernel_function
def model_weights(models: int, index: int) -> int:
    """Return the address of the words of a model's weights."""
    return read_int(models + _CONTENT + 16 * index + 8)


@kernel_function
def inputs_fit(frame: int, inputs: int, state: int, lengths: int, reset: int) -> bool:
    """Return whether kernels can read these arguments; where the state is records, their rows are located."""
    none = header(frame, HeaderField.NONE)
    if not is_sequence(frame, inputs, header(frame, HeaderField.IN_SIZE)):
        return False
    rows = extent(inputs, 1)
    if rows > header(frame, HeaderField.CAPACITY):
        return False
    if lengths != none and not is_column(frame, lengths, HeaderField.INT32, 4, rows):
        return False
    if reset != none and not is_column(frame, reset, HeaderField.BOOL, 1, rows):
        return False
    if is_exactly(frame, state, HeaderField.TUPLE):
        return locate_rows(frame, state, rows)
    return is_table(frame, state, rows, header(frame, HeaderField.STATE_SIZE))


@kernel_function
def outputs_fit(frame: int, inputs: int, outputs: int, after: int) -> bool:
    """Return whether these are arrays for the outputs and the states after inputs that fit."""
    steps, rows = extent(inputs, 0), extent(inputs, 1)
    if not (is_sequence(frame, outputs, header(frame, HeaderField.OUT_SIZE)) and extent(outputs, 0) == steps):
        return False
    return extent(outputs, 1) == rows and is_table(frame, after, rows, header(frame, HeaderField.STATE_SIZE))


@kernel_function
def write_arguments(
    frame: int, inputs: int, state: int, lengths: int, reset: int, outputs: int, after: int
) -> None:  # fmt: skip
    """Write the addresses and sizes of arguments that were checked to the header."""
    steps = extent(inputs, 0)
    rows = extent(inputs, 1)
    set_header(frame, HeaderField.STEPS, steps)
    set_header(frame, HeaderField.ROWS, rows)
    set_header(frame, HeaderField.INPUTS, array_data(inputs))
    set_header(frame, HeaderField.INPUTS_TIME, stride(inputs, 0))
    set_header(frame, HeaderField.OUTPUTS, array_data(outputs))
    set_header(frame, HeaderField.OUTPUTS_TIME, stride(outputs, 0))
    set_header(frame, HeaderField.AFTER, array_data(after))
    write_lengths(frame, lengths, steps, rows)
    write_state(frame, state, reset, rows)


@kernel_function
def write_lengths(frame: int, lengths: int, steps: int, rows: int) -> None:
    """Copy the lengths, clipped to the steps: the caller may change its array while the GIL is released."""
    if lengths == header(frame, HeaderField.NONE):
        set_header(frame, HeaderField.LENGTHS, 0)
        return
    table = header(frame, HeaderField.LENGTH_TABLE)
    for row in range(rows):
        write_int32(table + 4 * row, min(max(read_int32(array_data(lengths) + 4 * row), 0), steps))
    set_header(frame, HeaderField.LENGTHS, table)


@kernel_function
def write_state(frame: int, state: int, reset: int, rows: int) -> None:
    """Write the address of each row's state. An array without rows to reset needs no table."""
    resets = reset != header(frame, HeaderField.NONE)
    table = header(frame, HeaderField.ROW_TABLE)
    dense = not is_exactly(frame, state, HeaderField.TUPLE)
    set_header(frame, HeaderField.STATE, array_data(state) if dense else 0)
    set_header(frame, HeaderField.STATE_POINTERS, 0 if dense and not resets else table)
    if not resets:
        return
    if dense:
        for row in range(rows):
            write_int(table + 8 * row, array_data(state) + 4 * header(frame, HeaderField.STATE_SIZE) * row)
    for row in range(rows):
        if read_byte(array_data(reset) + row) != 0:
            write_int(table + 8 * row, 0)

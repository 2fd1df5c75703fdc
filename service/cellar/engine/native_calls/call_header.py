"""The fields of a frame's header, which the native call of a network reads and writes: the layout of its memory."""

from enum import IntEnum, auto


class HeaderField(IntEnum):
    """Words of 64 bits at the beginning of a frame."""

    STEPS = 0
    ROWS = auto()
    CAPACITY = auto()
    """Rows times steps that the scratch memory holds: the steps of a chunk follow from the rows."""
    LENGTHS = auto()
    """Address of the rows' lengths; 0 if all rows run to the end."""
    LENGTH_TABLE = auto()
    """Address of memory for a copy of the lengths."""
    BAD_STEP = auto()
    BAD_KIND = auto()
    INPUTS = auto()
    INPUTS_TIME = auto()
    OUTPUTS = auto()
    OUTPUTS_TIME = auto()
    STATE = auto()
    STATE_POINTERS = auto()
    """Address of a table with one state pointer per row, where 0 means the initial state; 0 if `STATE` is used."""
    ROW_TABLE = auto()
    """Address of memory for that table."""
    AFTER = auto()
    IN_SIZE = auto()
    OUT_SIZE = auto()
    STATE_SIZE = auto()
    FLOPS = auto()
    """Floating-point operations of one row and step."""
    LAYERS = auto()
    """Address of a table of pairs: the addresses of a layer's kernel and of its descriptor."""
    LAYER_COUNT = auto()
    PATCHES = auto()
    """Address of a table of words in descriptors that change with a chunk of steps, four numbers each: the address of
    the word, and a field, a factor and an addend. The word becomes field * factor + addend."""
    PATCH_COUNT = auto()
    WEIGHT_PLACES = auto()
    """Address of a table of the addresses of the words in descriptors that depend on the weights."""
    WEIGHT_COUNT = auto()
    NONE = auto()
    FLOAT32 = auto()
    INT32 = auto()
    BOOL = auto()
    """Addresses of the object None and of NumPy's dtype objects."""
    NDARRAY = auto()
    TUPLE = auto()
    BYTES = auto()
    """Addresses of the types numpy.ndarray, tuple and bytes."""
    SAVE_THREAD = auto()
    RESTORE_THREAD = auto()
    FROM_LONG = auto()
    """Addresses of functions of CPython."""
    COUNT = auto()


class Status(IntEnum):
    """The results that the native call returns."""

    FINE = 0
    FLUSHES = auto()
    """The thread flushes subnormal numbers."""
    FAULTS = auto()
    """Some row has a state or an output that is not finite."""
    BAD_ARGUMENTS = auto()
    """The kernels cannot read an argument as it is laid out; nothing was run."""

"""The words of a frame, by which Python and the one native call of a network understand each other."""

from enum import IntEnum, auto


class HeaderField(IntEnum):
    """Words of 64 bits at the head of a frame."""

    STEPS = 0
    ROWS = auto()
    CAPACITY = auto()
    """Rows times steps that the scratch memory holds: the steps of a chunk follow from the rows."""
    LENGTHS = auto()
    """Address of the rows' lengths, 0 if all run to the end; and room for a copy of them."""
    LENGTH_TABLE = auto()
    BAD_STEP = auto()
    BAD_KIND = auto()
    INPUTS = auto()
    INPUTS_TIME = auto()
    OUTPUTS = auto()
    OUTPUTS_TIME = auto()
    STATE = auto()
    SOURCES = auto()
    """Pointer to a table with one state pointer for each row, where 0 means the initial state; 0 if `STATE` is used."""
    ROW_TABLE = auto()
    AFTER = auto()
    IN_SIZE = auto()
    OUT_SIZE = auto()
    STATE_SIZE = auto()
    FLOPS = auto()
    """Of one row and step."""
    LAYERS = auto()
    """Address of (kernel, descriptor) for each layer, and how many there are."""
    LAYER_COUNT = auto()
    PATCHES = auto()
    """Address of (address of a word, what to write there, a number) for what changes with a call."""
    PATCH_COUNT = auto()
    NONE = auto()
    FLOAT32 = auto()
    INT32 = auto()
    BOOL = auto()
    """Addresses of the object None and of NumPy's for these types of numbers."""
    NDARRAY = auto()
    TUPLE = auto()
    BYTES = auto()
    """Addresses of the types numpy.ndarray, tuple and bytes."""
    SAVE_THREAD = auto()
    RESTORE_THREAD = auto()
    FROM_LONG = auto()
    """Addresses of functions of CPython."""
    COUNT = auto()


class Patch(IntEnum):
    """What a word of a descriptor becomes."""

    INPUTS = 0
    INPUTS_TIME = auto()
    OUTPUTS = auto()
    OUTPUTS_TIME = auto()
    STATE = auto()
    """The state before the first step, what the chunk before left after that."""
    SOURCES = auto()
    """Where each row begins before the first step, 0 after that."""
    AFTER = auto()
    TIME = auto()
    """The bytes of a step of an array between layers: a row's, times the rows."""


class Status(IntEnum):
    """What the function returns."""

    FINE = 0
    FLUSHES = auto()
    """The thread flushes subnormal numbers."""
    FAULTS = auto()
    """Some row has a state or an output that is not finite."""
    BAD_ARGUMENTS = auto()
    """An argument is not what it should be; nothing was run."""

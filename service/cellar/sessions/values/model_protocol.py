"""Protocols of what sessions need of a model: a network that runs, the layout of its states, and its version.

`cellar.models.registry.RunnableModel` implements them with networks of `cellar.nn` and graphs of `cellar.onnx_graph`.
They mention no layers, weights or kernels: tests of sessions count steps exactly with a network of three integers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

from numpy import bool_, int32
from numpy.typing import NDArray

from cellar.ports import Floats, Mask, ModelVersion, Row


class StatePlace(Protocol):
    """One named state of one layer: `size` floats at `offset` in a row of the state of the network."""

    @property
    def layer(self) -> int:
        """The index of the layer in the network."""

    @property
    def name(self) -> str:
        """The name of the state in the equations of the cell."""

    @property
    def size(self) -> int:
        """The number of floats."""

    @property
    def offset(self) -> int:
        """The index of its first float in a row of the network's state."""

    @property
    def cell(self) -> str:
        """The name of the cell of the layer."""


class RowReader(Protocol):
    """Reads the rows of readings that are the inputs of a network."""

    @property
    def width(self) -> int:
        """The numbers of a row."""

    @property
    def in_words(self) -> str:
        """The columns in their order, as an error names them."""

    @property
    def signature(self) -> str:
        """The columns with their kinds and names of categories: equal ones give the numbers of a row one meaning."""

    def read(self, rows: Sequence[Sequence[Row]], pointers: Callable[[int, int], str]) -> Floats:
        """Return the numbers of rows (T, rows, width), of which NaN are missing readings.

        `pointers` gives the JSON pointer of a row of a step. Raise TypeMismatch, IdUnknown or ShapeMismatch.
        """

    def check(
        self, rows: Floats, left_out: Mask | None, place: Callable[[int, int, tuple[str, int, int]], str]
    ) -> None:
        """Raise TypeMismatch or IdUnknown for numbers (T, rows, width) that are no readings.

        `left_out` are rows of the first steps that take no part. `place` gives the JSON pointer of a column of a row:
        of a step, a row, and the name of the column with its places among columns and among numbers.
        """


class Sizes(Protocol):
    """The sizes of a network, in floats for each row, and its named states."""

    @property
    def in_size(self) -> int:
        """Floats of the input of a row."""

    @property
    def out_size(self) -> int:
        """Floats of the output of a row."""

    @property
    def state_size(self) -> int:
        """Floats of the state of a row."""

    @property
    def states(self) -> Sequence[StatePlace]:
        """The named states, in the order in which a row stores them."""

    @property
    def whole_sequences(self) -> bool:
        """Whether every call must hold a sequence from its first step to its last; such a network cannot be stepped."""

    @property
    def row_numbers(self) -> int:
        """Estimate of how many intermediate values a step of one row computes."""

    @property
    def bits_promised(self) -> bool:
        """Whether the same steps give the same bits in every process, so that a state can be computed again."""

    @property
    def takes_ids(self) -> bool:
        """Whether only some numbers are inputs, such as known ids, so that those of every step must be checked."""

    @property
    def row_reader(self) -> RowReader | None:
        """Reads rows of readings; None if inputs are plain numbers."""

    def check_inputs(self, inputs: Floats) -> None:
        """Raise IdUnknown or TypeMismatch if the network cannot take inputs (T, rows, in_size).

        Called for every step if `takes_ids`, else once for each shape of inputs.
        """

    def check_states(self, states: Floats, pointer: str = "") -> None:
        """Raise InvalidInput with `pointer` if states (rows, state_size) that are written are none of the network."""


class Run(Protocol):
    """The result of T steps of B rows."""

    @property
    def outputs(self) -> Floats:
        """The outputs (T, B, out_size)."""

    @property
    def state(self) -> Floats:
        """The state (B, state_size) after the last step of each row."""

    @property
    def bad_step(self) -> NDArray[int32] | None:
        """The first step (B,) with a value that is not finite, -1 in rows without one; None if no row has one."""

    @property
    def bad_kind(self) -> NDArray[int32] | None:
        """The kind of the fault in the bad step of each row (B,); None if no row has one.

        1: a state is not finite, 2: an output is not finite, 3: the step could not be computed.
        """


Advance = Callable[[Floats, tuple[bytes, ...], NDArray[int32] | None, Mask | None], Run]


class Code(Protocol):
    """The code of a network, which runs rows of several models in one call, each with its own weights."""

    def run(
        self,
        models: bytes,
        inputs: Floats,
        state: tuple[bytes, ...],
        lengths: NDArray[int32] | None,
        reset: Mask | None,
    ) -> Run:
        """Run as `Network.advance`; `models` are the joined `Network.rows` of the models, in the order of the rows."""


class Network(Protocol):
    """A network with weights. Rows are independent of each other."""

    @property
    def code(self) -> Code | None:
        """The code that all models of the same network share; None: its calls have no rows of other models."""

    def rows(self, count: int) -> bytes:
        """Return the bytes that name `count` rows of this model in a call of `code`."""

    @property
    def network(self) -> Sizes:
        """The sizes of the network."""

    def initial_state(self, rows: int) -> Floats:
        """Return the initial state (rows, state_size) of a session."""

    def run(
        self,
        inputs: Floats,
        state: tuple[bytes, ...],
        lengths: NDArray[int32] | None = None,
        *,
        reset: Mask | None = None,
        executor: Executor | None = None,
    ) -> Run:
        """Run T steps: inputs (T, B, in_size), the states of sessions as bytes, lengths (B,). No argument is changed.

        Each state is float32, little endian, (rows, state_size), with B rows in all. Rows under the mask `reset` (B,)
        begin with the initial state instead. Wide batches may use threads of the executor.
        """

    @property
    def advance(self) -> Advance:
        """Run as `run` does, but on this thread only: the arguments are the first three of `run`, and `reset`."""

    @property
    def flops(self) -> int:
        """Floating-point operations in one step of one row."""


class SharedNetwork(Protocol):
    """The parts that all loaded models of the same network share."""

    @property
    def size_bytes(self) -> int:
        """The memory that it takes now, in bytes."""


class Scorer(Protocol):
    """Scores how surprising the readings of steps are."""

    def score(
        self,
        state: bytes,
        inputs: Floats,
        outputs: Floats,
        reset: NDArray[bool_] | None = None,
        left_out: NDArray[bool_] | None = None,
    ) -> Floats:
        """Return scores (T, rows, targets) of inputs (T, rows, in_size) and outputs (T, rows, out_size); NaN: no score.

        `state` is that before the steps. Rows begin again with steps that are `reset` (T, rows), and have no step
        where they are `left_out`.
        """


class Model(Protocol):
    """A loaded version of a model."""

    @property
    def version(self) -> ModelVersion:
        """The name and number of the version, and what is stored about it."""

    @property
    def network(self) -> Network:
        """The network with the weights of the version."""

    @property
    def size_bytes(self) -> int:
        """Memory that the loaded version takes, without what it shares, in bytes."""

    @property
    def scorer(self) -> Scorer | None:
        """Scores the readings of its steps; None if they have no score."""

    @property
    def shared(self) -> SharedNetwork | None:
        """The parts that it shares with models of the same network, None if it shares nothing."""


def layout_of(sizes: Sizes) -> str:
    """Return the layout of a network's state: `layer.name:size` for each, in order; "" if it has none.

    A state of a hosted graph that is not float32 has its type behind it: its bits mean something else.
    """
    return ",".join(f"{place.layer}.{place.name}:{place.size}{_type(place)}" for place in sizes.states)


def _type(place: StatePlace) -> str:
    """Return the type of a state that is not float32, else ""."""
    engine, _, type_ = place.cell.partition(".")
    return f":{type_}" if engine == "onnx" and type_ not in ("", "float32") else ""


def _columns(sizes: Sizes) -> str:
    """Return the columns that give the numbers of inputs their meaning, "" if they have none."""
    return "" if sizes.row_reader is None else sizes.row_reader.signature


def difference(mine: Sizes, its: Sizes) -> tuple[str, str, str] | None:
    """Return how another network differs so that it cannot take over the state of a session, None if it can.

    It is the name of the part that differs, then the part of each network. A session that follows an alias keeps its
    state only if its steps have the same inputs, states and outputs on the new version.
    """
    for part, one, other in (
        ("inputs", mine.in_size, its.in_size),
        ("columns", _columns(mine), _columns(its)),
        ("outputs", mine.out_size, its.out_size),
        ("kind of sequences", mine.whole_sequences, its.whole_sequences),
        ("states", layout_of(mine), layout_of(its)),
    ):
        if one != other:
            return part, str(one), str(other)
    return None

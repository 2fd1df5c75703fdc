"""Runs the text of a kernel in Python, over memory that knows which buffer each address belongs to.

Numbers are not computed. Every read and write is checked: it must lie within one buffer, and a float that is read must
have been written before. So a plan that gives a value the wrong place, or the wrong length of life, is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from cellar.engine import Cell
from cellar.engine.codegen.kernel_source import IMPORTS, KERNEL_ENTRY, KernelText
from cellar.engine.ir.graph import Node
from cellar.engine.ir.ops import OPS
from cellar.engine.passes.memory_plan import DESCRIPTOR_HEAD, PAIRS, PARAM_GRADIENTS, row_bytes, width_bytes
from cellar.engine.passes.schedule import tape


class AccessError(Exception):
    """A kernel reads or writes where it must not."""


@dataclass
class Buffer:
    """Memory with a name. `written` says of every float whether it holds a number."""

    name: str
    begin: int
    written: bytearray


@dataclass
class Memory:
    """Buffers with wide gaps between them, and words: integers at addresses."""

    buffers: list[Buffer] = field(default_factory=list)
    words: dict[int, int] = field(default_factory=dict)
    end: int = 1 << 20

    def buffer(self, name: str, size: int, *, filled: bool) -> int:
        """Allocate a buffer of the given number of bytes and return its address."""
        self.buffers.append(Buffer(name, self.end, bytearray([filled] * (size // 4))))
        begin, self.end = self.end, (self.end + size + 8191) // 4096 * 4096
        return begin

    def table(self, values: Sequence[int], size: int = 8) -> int:
        """Store integers one after the other; return the address of the first."""
        begin, self.end = self.end, self.end + 4096 + size * len(values)
        self.words |= {begin + size * index: value for index, value in enumerate(values)}
        return begin

    def word(self, address: int) -> int:
        """Return the integer at an address."""
        if address not in self.words:
            raise AccessError(f"no word stands at {address}")
        return self.words[address]

    def read(self, address: int, size: int) -> None:
        """Check that the floats in `size` bytes were written."""
        found, floats = self._find(address, size)
        if not all(found.written[floats]):
            raise AccessError(f"{found.name}: floats {floats.start} to {floats.stop} are read before they are written")

    def write(self, address: int, size: int) -> None:
        """Note that the floats in `size` bytes are written."""
        found, floats = self._find(address, size)
        found.written[floats] = b"\1" * (size // 4)

    def _find(self, address: int, size: int) -> tuple[Buffer, slice]:
        for found in self.buffers:
            begin = (address - found.begin) // 4
            if begin >= 0 and begin + size // 4 <= len(found.written):
                return found, slice(begin, begin + size // 4)
        near = max((b for b in self.buffers if b.begin <= address), key=lambda b: b.begin, default=None)
        raise AccessError(f"{size} bytes at {address - near.begin if near else address} of {near and near.name}")


def blocks(count: int) -> int:
    """Return the bytes of a padded row of `count` floats."""
    return width_bytes(count)


@dataclass(frozen=True)
class Library:
    """The functions that kernels call, by what they read and write."""

    memory: Memory

    def names(self) -> dict[str, Any]:
        """Return the names that the text of a kernel uses."""
        found: dict[str, Any] = dict.fromkeys((*(op.kernel for op in OPS if op.kernel), "where", "splat"), _number)
        found |= dict.fromkeys(("zero", "flush", "accumulate_nonfinite", "float32"), _number)
        found |= {"first": int, "all_finite": lambda *_: True, "keeps_subnormals": lambda _: True, "inf": 0, "nan": 0}
        found |= {"read_int": self.memory.word, "read_int32": self.memory.word, "types": SimpleNamespace(int64=_number)}
        found |= {"cfunc": _decorator, "njit": _decorator}
        return found | {name: getattr(self, name) for name in dir(self) if not name.startswith("_")}

    def load(self, address: int) -> float:
        self.memory.read(address, 64)
        return 0.0

    def load_one(self, address: int) -> float:
        self.memory.read(address, 4)
        return 0.0

    def store(self, address: int, _: float) -> None:
        self.memory.write(address, 64)

    def store_partial(self, address: int, _: float, left: int) -> None:
        self.memory.write(address, 4 * min(16, left))

    def load_row(self, source: int, target: int, count: int, _: bool = False) -> None:
        self.memory.read(source, 4 * count)
        self.memory.write(target, blocks(count))

    pad_row = load_row

    def store_row(self, source: int, target: int, count: int) -> None:
        self.memory.read(source, blocks(count))
        self.memory.write(target, 4 * count)

    def copy_and_check(self, source: int, target: int, count: int, _: bool) -> bool:
        self.memory.read(source, blocks(count))
        self.memory.write(target, blocks(count))
        return True

    def is_finite(self, source: int, count: int) -> bool:
        self.memory.read(source, blocks(count))
        return True

    def clear(self, target: int, width: int) -> None:
        self.memory.write(target, width)

    def clear_dense(self, target: int, count: int) -> None:
        self.memory.write(target, 4 * count)

    def pack_pairs(
        self, source: int, stride: int, rows: int, steps: int, begin: int, count: int, target: int, width: int
    ) -> None:
        for index in range(begin, begin + count):
            step, row = steps - 1 - index // rows, index % rows
            self.memory.read(source + (step * rows + row) * stride, width)
        self.memory.write(target, width * count)

    def lane_sums(self, terms: int, count: int, width: int, lanes: int) -> None:
        self.memory.read(terms, width * count)
        self.memory.read(lanes, 16 * width)

    def lane_total(self, lanes: int, width: int, out: int) -> None:
        self.memory.read(lanes, 16 * width)
        self.memory.read(out, width)

    def call_product(
        self, _: int, a: int, a_row: int, a_k: int, w: int, out: int, out_row: int, length: int, panels: int, rows: int,
        more: int, __: int,
    ) -> None:  # fmt: skip
        self.memory.read(w, 64 * panels * length)
        for row in range(rows):
            for k in range(length):
                self.memory.read(a + row * a_row + k * a_k, 4)
            if more:
                self.memory.read(out + row * out_row, 64 * panels)
            self.memory.write(out + row * out_row, 64 * panels)


def _number(*_: object) -> float:
    return 0.0


def _decorator(*_: object, **__: object) -> Callable[[Any], Any]:
    return lambda function: function


class Run:
    """A call of a cell's kernels over `steps` steps of `rows` rows, in memory of its own."""

    def __init__(self, cell: Cell, steps: int, rows: int, lengths: Sequence[int] | None = None) -> None:
        self.cell = cell
        self.steps, self.rows = steps, rows
        self.memory = Memory()
        self.lengths = self.memory.table(lengths, 4) if lengths is not None else 0
        self.tape: list[tuple[int, int]] = []

    def forward(self, kernel: KernelText, *, from_table: bool = False) -> None:
        """Run a forward kernel, the state of its rows in an array, or in a table of which every second row is 0."""
        cell = self.cell
        inputs = [self._dense("input", size, filled=True) for size in cell.in_sizes]
        values = self._values(kernel, inputs, [self._dense("output", cell.out_size, filled=False)])
        if from_table:
            rows = [self.memory.buffer("state of a row", 4 * cell.state_size, filled=True) for _ in range(self.rows)]
            pointers = self.memory.table([0 if row % 2 else place for row, place in enumerate(rows)])
            initial = self.memory.buffer("initial state", 4 * cell.state_size, filled=True)
            self._call(kernel, values, state_pointers=pointers, initial_state=initial)
        else:
            self._call(kernel, values)
        plan = kernel.memory_plan
        for node in tape(cell.step, cell.adjoint) if plan.schedule.kept or plan.schedule.history else ():
            if node in plan.places:
                place = plan.places[node]
                widths = plan.buffers[place.buffer].widths
                base = values["buffer", place.buffer] + row_bytes(place.before, cell.sizes)
                self.tape.append((base, row_bytes(widths, cell.sizes)))

    def backward(self, kernel: KernelText, *, grad_mask: int = -1) -> None:
        """Run a backward kernel over the tape of a forward one."""
        cell = self.cell
        d_inputs = [self._dense("gradient of an input", size, filled=False) for size in cell.in_sizes]
        values = self._values(kernel, [self._dense("gradient of the output", cell.out_size, filled=True)], d_inputs)
        for index, (base, stride) in enumerate(self.tape):
            values["tape", index], values["tape_row", index] = base, stride
        for param in cell.params:
            width = blocks(param.shape[-1]) if param.shape else 64
            rows = param.shape[0] if len(param.shape) == 2 else 1
            values["grad", param.name] = self.memory.buffer(f"gradient of {param.name}", rows * width, filled=True)
            values["sums", param.name] = self.memory.buffer(f"sums of {param.name}", 16 * width, filled=False)
        self._call(kernel, values, grad_mask=grad_mask & (PARAM_GRADIENTS | (1 << len(d_inputs)) - 1))

    def _dense(self, name: str, size: int, *, filled: bool) -> tuple[int, int]:
        return self.memory.buffer(name, 4 * self.steps * self.rows * size, filled=filled), size

    def _values(
        self, kernel: KernelText, inputs: list[tuple[int, int]], results: list[tuple[int, int]]
    ) -> dict[tuple[str, int | str], int]:
        """Return what stands in the slots of a descriptor."""
        plan, sizes, state = kernel.memory_plan, self.cell.sizes, 4 * self.cell.state_size
        values: dict[tuple[str, int | str], int] = {("size", name): number for name, number in sizes.items()}
        for kind, arrays in (("input", inputs), ("result", results)):
            for index, (base, size) in enumerate(arrays):
                values[kind, index], values[f"{kind}_row", index] = base, 4 * size
                values[f"{kind}_time", index] = 4 * size * self.rows
        for kind, filled in (("carry_in", True), ("carry_out", False)):
            values[kind, 0] = self.memory.buffer(kind, state * self.rows, filled=filled)
            values[f"{kind}_row", 0] = state
        rows = {"call": self.steps * self.rows, "step": self.rows, "history": (self.steps + 1) * self.rows}
        for index, buffer in enumerate(plan.buffers):
            size = rows[buffer.span] * row_bytes(buffer.widths, sizes)
            values["buffer", index] = self.memory.buffer(f"buffer {index}", size, filled=self.lengths != 0)
        for index, name in enumerate(plan.pairs):
            values["pairs", index] = self.memory.buffer(
                f"pairs {index}", PAIRS * row_bytes((name,), sizes), filled=False
            )
        for index, group in enumerate(plan.groups):
            values["group", index] = self.memory.buffer(f"group {index}", self._panels(group.nodes), filled=True)
        for param in self.cell.params:
            if len(param.shape) < 2:
                size = blocks(param.shape[0]) if param.shape else 64
                values["vector", param.name] = self.memory.buffer(param.name, size, filled=True)
        return values

    def _panels(self, products: Sequence[Node]) -> int:
        """Return the bytes of the packed matrices of a group."""
        rows = sum(self.cell.sizes[node.shape[0]] for node in products)
        return (rows + 15) // 16 * 64 * self.cell.sizes[products[0].sources[1].shape[0]]

    def _call(self, kernel: KernelText, values: dict[tuple[str, int | str], int], **head: int) -> None:
        head |= {"steps": self.steps, "rows": self.rows, "lengths": self.lengths}
        words = [head.get(name, 0) for name in DESCRIPTOR_HEAD] + [values[slot] for slot in kernel.memory_plan.numbers]
        names = Library(self.memory).names()
        exec(kernel.text.removeprefix(IMPORTS), names)
        names[KERNEL_ENTRY](self.memory.table(words))


def check(cell: Cell, kernels: Sequence[KernelText], shapes: Sequence[tuple[int, int]]) -> None:
    """Run the three kernels of a cell (serving, saving, backward) for numbers of steps and rows. Raise AccessError."""
    serve, save, back = kernels
    for steps, rows in shapes:
        for lengths in (None, [row % (steps + 1) for row in range(rows)]):
            Run(cell, steps, rows, lengths).forward(serve, from_table=bool(cell.states))
            for grad_mask in (-1, 0):
                run = Run(cell, steps, rows, lengths)
                run.forward(save)
                run.backward(back, grad_mask=grad_mask)

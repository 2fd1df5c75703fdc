"""A network whose sessions learn its last layer: the network, and a kernel that adds what each row has learnt.

A call of the network gives the inputs of its last layer beside its outputs, and `kernel_library.readout` does the rest,
row by row, on the block behind the state of each session. What is learnt is state and no weights: sessions share a
call as those of other networks do, and their bits do not depend on the others.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import cached_property

import numpy as np

from cellar.engine import Floats, Ints, KernelCache, Mask, NetworkCode, NetworkProgram, Run, States, joined_state
from cellar.errors import InvalidInput, StateNotFinite
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.learning.layout import ReadoutLayout
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.nn.learning.spec import ADDED, Learning, RlsSpec
from cellar.nn.model.network import Network

DENSE, IDENTITY = "dense", "identity"

BEHIND_ADDED = -3
"""The place of the layer whose outputs are added: behind it are the sum and the layer that copies a part of it."""


def learning_of(network: Network, spec: RlsSpec) -> Learning:
    """Return the learning of the sessions of a network. Raise InvalidInput if its last layer cannot be learnt so."""
    last = network.spec.layers[-1]
    if network.forecast is not None:
        raise InvalidInput(
            "a forecast layer has constants and no weights that could be solved: what follows each session of a model"
            " that was made of a dataset is the width of its intervals",
            pointer="/learning",
            expected='no learning of the type "rls", or a network that ends with {"type": "dense"}',
            actual=last.type,
        )
    if network.whole_sequences or last.type != DENSE or getattr(last, "activation", None) != IDENTITY:
        raise InvalidInput(
            "only a last layer that is dense and has no activation can be solved by least squares",
            pointer="/learning",
            expected='a network that ends with {"type": "dense"}, and reads its inputs forwards',
            actual=last.type,
        )
    layer = network.layers[network.output[0]]
    shapes = dict(layer.shapes)
    outputs, features = shapes["W"]
    learning = Learning(spec=spec, features=features, outputs=outputs, bias="b" in shapes, layer=layer.number)
    layout = ReadoutLayout(learning, network.state_size)
    layout.check_size()
    return learning.model_copy(update={"states": [(state.name, state.size) for state in layout.states()]})


class ReadoutNetwork(LearningNetwork):
    """The network of a version for sessions that learn its last layer. Immutable, and shared by all of them."""

    def __init__(self, bound: BoundNetwork, compiled: CompiledNetwork, learning: Learning, cache: KernelCache) -> None:
        super().__init__(bound, learning)
        self._kernel, self._delta_shape = cache.readout, (learning.outputs, -1)
        plan = compiled.code.plan
        (features,) = plan.nodes[BEHIND_ADDED if learning.part == ADDED else -1].reads
        self._reads_input = -1 in features
        output = (len(plan.nodes) - 1,) if self._reads_input else (*features, len(plan.nodes) - 1)
        code = NetworkCode(plan.nodes, output, plan.in_size, plan.state_size, cache)
        self._program = NetworkProgram.of_words(code, bound.program.words, bound)
        spec = learning.spec
        assert isinstance(spec, RlsSpec)
        self._numbers = np.array([spec.forgetting, 1 / spec.ridge], np.float64)

    @property
    def size_bytes(self) -> int:
        """The memory of the weights."""
        return self._bound.size_bytes + self._program.code.size_bytes

    @cached_property
    def flops(self) -> int:
        """The number of floating-point operations of a step of one row."""
        return self._bound.flops + 2 * self._learning.outputs * self.layout.weights + self.layout.size

    def _run(
        self, executor: Executor | None, inputs: Floats, state: States, lengths: Ints | None, reset: Mask | None
    ) -> Run:
        steps, rows, _ = inputs.shape
        before = state if isinstance(state, np.ndarray) else joined_state(tuple(state), rows, self.layout.state_size)
        base = np.ascontiguousarray(before[:, : self.layout.base])
        found, program = self._bound.looked_up(inputs), self._program
        if executor is not None and (parts := program.parts(steps, rows)) > 1:
            run = program.run_parts(found, base, executor, parts, lengths=lengths, reset=reset)
        else:
            run = program.run(found, base, lengths, reset)
        given = np.concatenate([found, run.outputs], axis=2) if self._reads_input else run.outputs
        after: Floats = np.array(before, dtype=np.float32, order="C")
        after[:, : self.layout.base] = run.state
        return self._answered(run, np.ascontiguousarray(given), after, lengths)

    def _answered(self, run: Run, given: Floats, after: Floats, lengths: Ints | None) -> Run:
        """Return the run with outputs to which is added what was learnt; the blocks of `after` are advanced."""
        steps, rows, _ = given.shape
        outputs = np.zeros((steps, rows, self._learning.outputs), np.float32)
        bad = np.full(rows, -1, np.int32)
        ends = None if lengths is None else np.ascontiguousarray(lengths, np.int32)
        where = 0 if ends is None else ends.ctypes.data
        words = given.ctypes.data, outputs.ctypes.data, where, bad.ctypes.data
        self._call(0, after, rows, steps, *words)
        bad_step, bad_kind = run.bad_step, run.bad_kind
        if (bad >= 0).any():
            first = bad if bad_step is None else np.where(bad_step >= 0, bad_step, bad)
            kinds = np.zeros(rows, np.int32) if bad_kind is None else bad_kind
            bad_step, bad_kind = first, np.where(kinds > 0, kinds, np.where(first >= 0, 2, 0)).astype(np.int32)
        return Run(outputs, after, bad_step, bad_kind)

    def _call(self, what: int, state: Floats, *words: int) -> int:
        """Call the kernel on the blocks of a state (rows, state_size)."""
        learning, layout = self._learning, self.layout
        sizes = learning.features, layout.weights, learning.outputs, layout.window
        offsets = layout.delta.start, layout.factor.start, layout.steps.start
        place = state.ctypes.data + 4 * layout.base
        call = np.array([what, place, 4 * layout.state_size, *sizes, *offsets, *words], np.int64)
        return self._kernel(call.ctypes.data)

    # --- what is learnt

    def learn(self, state: bytes, places: Sequence[int], targets: Floats) -> bytes:
        """Return the state after targets of steps: each is an update of the recursive least squares."""
        after = np.frombuffer(bytearray(state), np.float32).reshape(1, -1)
        cursor = int(after[0, self.layout.base])
        slots = np.array([(cursor - ago) % self.layout.window for ago in places], np.int32)
        wanted = np.ascontiguousarray(targets, np.float32)
        scratch = np.empty(3 * self.layout.weights, np.float64)
        words = len(slots), slots.ctypes.data, wanted.ctypes.data, self._numbers.ctypes.data, scratch.ctypes.data
        if self._call(1, after, *words):
            raise StateNotFinite("the targets would make what the session has learnt infinite or NaN")
        return after.tobytes()

"""Converts a graph of ONNX to a network, node by node from the input to the outputs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cellar.errors import ImportRefused, InvalidInput
from cellar.interchange.chain import ImportedLayer, network_of
from cellar.interchange.imported import ImportedNetwork, check_weights
from cellar.interchange.onnx import arithmetic, constants, layout
from cellar.interchange.onnx.activations import ALONG_NUMBERS, OPERATORS
from cellar.interchange.onnx.model_file import Graph, GraphInput, Node, graph_of, parse_model, read_bytes, tensor_array
from cellar.interchange.onnx.recurrent import INPUTS, Inputs, recurrent_layer
from cellar.interchange.onnx.values import Axis, Constant, Filled, FinalState, Part, Signal, Value, need_signal
from cellar.interchange.onnx_export import NETWORK_KEY, network_model
from cellar.interchange.tensors import float32_array
from cellar.nn.model.layers.embedding import EmbeddingSpec
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

Values = Sequence[Value | None]

SIGNALS: Mapping[str, Callable[[Node, Signal, Values], Signal]] = {
    **layout.OPERATORS,
    **dict.fromkeys([*OPERATORS, *ALONG_NUMBERS], arithmetic.function),
    "Clip": arithmetic.clip,
    "Gemm": arithmetic.gemm,
    "LayerNormalization": arithmetic.layer_normalization,
    "MatMul": arithmetic.matmul,
}
"""Operators of one signal and of constants."""
SAME = ("Identity", "Dropout")
"""Operators that do nothing outside of training."""


def read_onnx(path: Path) -> ImportedNetwork:
    """Return the network of a file. Raise ImportRefused, with the name of the node, if it cannot be expressed."""
    return import_onnx(read_bytes(path), path.name)


def import_onnx(data: bytes, place: str = "model") -> ImportedNetwork:
    """Return the network of the bytes of a model, as `read_onnx` does."""
    model = parse_model(data, place)
    return _own_network(model) or _Reader(graph_of(model, place)).network()


class _Reader:
    """Converts one graph: keeps its values by name, and the roles of its inputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, Value] = {name: Constant(array, name) for name, array in graph.constants.items()}
        self.inputs = {given.name: given for given in graph.inputs}
        self.values |= {given.name: Signal(given.name, (), _axes(given)) for given in graph.inputs}
        self.data: str | None = None
        """The input that layers read."""
        self.states: set[tuple[str, tuple[str, ...]]] = set()
        """Inputs that are states, or the pieces of them that a layer begins with."""
        self.lengths: str | None = None

    def network(self) -> ImportedNetwork:
        """Return the network. Raise ImportRefused."""
        needed = _needed(self.graph)
        for index, node in enumerate(self.graph.nodes):
            if index in needed:
                self.run(node)
        output = self.output()
        in_size = 1 if isinstance(output.layers[0].spec, EmbeddingSpec) else self.width(output)
        found = network_of(in_size, output.layers)
        if self.states and Network(found.spec).whole_sequences:
            raise ImportRefused(
                "a state is an input of the graph, and a layer reads from the end, which keeps no state",
                place=min(self.states)[0],
                remedy="make the initial states constants",
            )
        return found

    def run(self, node: Node) -> None:
        """Compute the outputs of a node."""
        values = [self.value(node, name) for name in node.inputs]
        if node.operator in INPUTS:
            found: Sequence[Value] = self.recurrent(node, values)
        else:
            found = (self.compute(node, values),)
        for name, value in zip(node.outputs, found, strict=False):
            if name and name in self.values:
                raise node.refused(f"the name {name[:64]!r} is given twice")
            if name:
                self.values[name] = value

    def value(self, node: Node, name: str) -> Value | None:
        """Return an input of a node, None if it is left out."""
        if name and name not in self.values:
            raise node.refused(f"nothing before it is called {name[:64]!r}")
        return self.values[name] if name else None

    def compute(self, node: Node, values: Values) -> Value:
        """Return the output of a node that is not recurrent."""
        signals = [value for value in values if isinstance(value, Signal)]
        if not signals or node.operator == "Shape":
            return self.constant(node, values)
        if node.operator == "Concat":
            return layout.concat(node, values)
        if any(isinstance(value, FinalState) for value in values):
            return _moved_state(node, values)
        if node.operator in arithmetic.SYMBOLS:
            self.read_data(node, *signals)
            return arithmetic.elementwise(node, values)
        if node.operator == "Gather" and isinstance(values[0], Constant):
            self.read_data(node, signals[0])
            return arithmetic.embedding(node, values[0], signals[0])
        if node.operator in SAME or (node.operator == "Cast" and _is_cast_to_float32(node)):
            return signals[0]
        operator = SIGNALS.get(node.operator)
        if operator is None:
            known = sorted({*SIGNALS, *INPUTS, *SAME, *arithmetic.SYMBOLS, *constants.OPERATORS})
            raise node.refused("this operator cannot be expressed", expected=f"one of {', '.join(known)}")
        if node.operator not in layout.OPERATORS:
            self.read_data(node, signals[0])
        return operator(node, need_signal(node, signals[0]), values)

    def constant(self, node: Node, values: Values) -> Value:
        """Return the value of a node whose inputs are all constants."""
        if any(isinstance(value, FinalState) for value in values):
            return _moved_state(node, values)
        if node.operator in layout.OPERATORS and any(isinstance(value, Filled) for value in values[:1]):
            return next(value for value in values if isinstance(value, Filled))
        operator = constants.OPERATORS.get(node.operator)
        if operator is None:
            raise node.refused(
                "this operator cannot be computed of constants", expected=f"one of {', '.join(constants.OPERATORS)}"
            )
        return operator(node, values)

    def recurrent(self, node: Node, values: Values) -> Sequence[Value]:
        """Return the outputs of RNN, LSTM or GRU."""
        names = INPUTS[node.operator]
        if len(values) > len(names) or not values or values[0] is None:
            raise node.refused("it has too many inputs, or none")
        signal = need_signal(node, values[0])
        self.read_data(node, signal)
        if len(signal.axes) != 3 or signal.when != "every" or not signal.numbers_last:
            raise node.refused(
                "its input is no sequence of numbers",
                expected="three axes: steps, rows and numbers",
                actual=f"{len(signal.axes)} axes",
            )
        rows, steps = signal.axes[:2] if node.attribute("layout", 0) else (signal.axes[1], signal.axes[0])
        found = {name: value for name, value in zip(names, values, strict=False) if value is not None}
        inputs = Inputs(node, found, self.use_state, self.use_lengths)
        return recurrent_layer(inputs, signal, _only(node, steps, "steps"), _only(node, rows, "rows"))

    def read_data(self, node: Node, *signals: Signal) -> None:
        """Note which input of the graph layers read. Raise ImportRefused if there are two."""
        for signal in signals:
            if signal.piece or self.data not in (None, signal.source):
                other = f" besides {self.data!r}" if self.data not in (None, signal.source) else " cut in pieces"
                raise node.refused(
                    f"layers read the input {signal.source!r}{other}",
                    expected="one input; others are states or lengths",
                )
            self.data = signal.source

    def use_state(self, node: Node, signal: Signal) -> None:
        """Note an input that is a state."""
        key = (signal.source, signal.piece)
        if key in self.states or signal.source in (self.data, self.lengths):
            raise node.refused(f"the input {signal.source!r} is used as a state and for something else")
        self.states.add(key)

    def use_lengths(self, node: Node, signal: Signal) -> None:
        """Note the input that is the lengths of rows."""
        if not self.inputs[signal.source].whole_numbers or self.lengths not in (None, signal.source):
            raise node.refused(f"the input {signal.source!r} is no list of lengths, or not the only one")
        self.lengths = signal.source

    def output(self) -> Signal:
        """Return the one output that is no state. Raise ImportRefused if there are several, or none."""
        found = {name: self.values.get(name) for name in self.graph.outputs}
        signals = {name: value for name, value in found.items() if isinstance(value, Signal) and value.layers}
        sequences = {name: value for name, value in signals.items() if not value.state} or signals
        longest = max((len(value.layers) for value in sequences.values()), default=0)
        chosen = {name: value for name, value in sequences.items() if len(value.layers) == longest}
        for name, value in found.items():
            self.check_output(name, value, chosen)
        if len({value.layers for value in sequences.values()}) != 1:
            raise ImportRefused(
                f"the graph has {len(sequences)} outputs that are no states: {', '.join(list(sequences)[:8])}",
                place=next(iter(sequences), self.graph.outputs[0]),
                expected="one, which is computed by layers",
            )
        return next(iter(chosen.values()))

    def check_output(self, name: str, value: Value | None, chosen: Mapping[str, Signal]) -> None:
        """Raise ImportRefused for an output that the network has no place for."""
        if isinstance(value, FinalState) and "reverse" not in value.places:
            return
        if isinstance(value, Signal) and value.layers:
            if value.when != "ends" or value.layers in [each.layers for each in chosen.values()]:
                return
        elif not isinstance(value, FinalState):
            raise ImportRefused(f"the output {name!r} is not computed by layers", place=name)
        raise ImportRefused(
            f"the output {name!r} is the final state of a layer that reads from the end, which no network answers",
            place=name,
            remedy="export the model without this output",
        )

    def width(self, output: Signal) -> int:
        """Return how many numbers the input has at each step."""
        given = self.values[self.data or ""]
        assert isinstance(given, Signal)
        size = given.axes[-1][0].size if given.axes and given.axes[-1] else None
        if size is not None:
            return size
        return _first_width(output.layers)


def _first_width(layers: Sequence[ImportedLayer]) -> int:
    """Return how many numbers the first layer reads whose weights tell it."""
    for layer in layers:
        if layer.inner:
            return _first_width(layer.inner)
        for array in layer.weights.values():
            return int(array.shape[-1])
    raise ImportRefused("the size of the input is not fixed, and no layer tells it", place="input")


def _axes(given: GraphInput) -> tuple[Axis, ...]:
    """Return the axes of an input: the last one is the numbers of a step, unless they are whole numbers."""
    sizes = given.shape if given.shape is not None else (None, None) if given.whole_numbers else (None, None, None)
    parts = [Part("open", size) for size in sizes]
    if parts and not given.whole_numbers:
        parts[-1].kind = "numbers"
    return tuple((part,) for part in parts)


def _only(node: Node, axis: Axis, kind: str) -> Part:
    """Return the one part of an axis, which from now on is steps or rows. Raise ImportRefused if it is the other."""
    parts = [part for part in axis if part.size != 1 or part.kind != "directions"]
    if not parts:
        return Part("steps" if kind == "steps" else "rows", 1)
    if len(parts) != 1 or not (parts[0].become("steps" if kind == "steps" else "rows") or parts[0].size == 1):
        raise node.refused(
            f"the axis of its {kind} is something else in the layers before it",
            expected=kind,
            actual=" and ".join(part.kind for part in parts),
        )
    return parts[0]


def _needed(graph: Graph) -> set[int]:
    """Return the numbers of the nodes that an output needs."""
    makers = {name: index for index, node in enumerate(graph.nodes) for name in node.outputs if name}
    needed: set[int] = set()
    wanted = [makers[name] for name in graph.outputs if name in makers]
    while wanted:
        index = wanted.pop()
        if index not in needed:
            needed.add(index)
            wanted += [makers[name] for name in graph.nodes[index].inputs if name in makers]
    return needed


def _moved_state(node: Node, values: Values) -> Value:
    """Return a final state in another shape. Raise ImportRefused if something is computed of it."""
    if node.operator in (*layout.OPERATORS, *SAME) and isinstance(values[0], FinalState):
        return values[0]
    raise node.refused("it computes something of a layer's final state")


def _is_cast_to_float32(node: Node) -> bool:
    from onnx import TensorProto

    return bool(node.attribute("to") == TensorProto.FLOAT)


# --- models that Cellar has exported


def _own_network(model: Any) -> ImportedNetwork | None:
    """Return the network that a ModelProto states it is; None if it states none.

    Raise ImportRefused if its graph is another one than Cellar writes of that network.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == NETWORK_KEY), None)
    if text is None:
        return None
    try:
        network = Network(NetworkSpec.model_validate_json(text))
    except (ValidationError, InvalidInput) as error:
        raise ImportRefused(f"the metadata hold no network: {str(error)[:200]}", place=NETWORK_KEY) from error
    names = {name for name, _ in network.parameters}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {
        name: float32_array(tensor_array(tensor, name), name) for name, tensor in tensors.items() if name in names
    }
    check_weights(network, weights)
    if _graph_parts(model) != _graph_parts(network_model(network, weights)):
        raise ImportRefused(
            "the graph is not that of the network in the metadata",
            place=NETWORK_KEY,
            remedy=f"remove {NETWORK_KEY} from the metadata, so that the graph itself is read",
        )
    return ImportedNetwork(network.spec, weights)


def _graph_parts(model: Any) -> tuple[Any, ...]:
    """Return the parts of a graph that affect its results: everything except its name and documentation."""
    graph = model.graph
    parts = [sorted(part.SerializeToString(deterministic=True) for part in graph.initializer)]
    parts += [
        [part.SerializeToString(deterministic=True) for part in each]
        for each in (graph.node, graph.input, graph.output)
    ]
    return (*parts, [(entry.domain, entry.version) for entry in model.opset_import])

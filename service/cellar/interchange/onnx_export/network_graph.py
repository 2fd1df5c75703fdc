"""Writes a network as a model of ONNX, with its state as explicit inputs and outputs.

    x (rows, in)   0.c (rows, n)   0.h (rows, n)   ->   y (rows, out)   0.c.next   0.h.next

is one step. A network with a layer that reads from the end takes whole sequences, x (steps, rows, in) to
y (steps, rows, out): its recurrent layers are Scan. Parameters are constants by Cellar's names, and the metadata hold
the network, so that it is read again bit for bit. An input of ids is whole numbers without the axis of numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused
from cellar.interchange.onnx_export.cell_graph import GraphWriter, step_nodes
from cellar.nn.model.layer import Layer
from cellar.nn.model.lowering import served
from cellar.nn.model.network import Network

Array = NDArray[np.float32]

OPSET, IR_VERSION = 18, 8
INPUT = -1
"""The name of the network's input among the signals."""
NETWORK_KEY = "cellar.network"
"""Of the metadata: the network as JSON."""


def readings_refused() -> ImportRefused:
    """Return the error of an export of a network whose input are readings."""
    return ImportRefused(
        "the layer readings has rules for missing readings, times and categories that no other framework has",
        place="/network/layers/0",
        remedy="export it as safetensors or json, or compute the features yourself and export the layers behind it",
    )


def network_model(network: Network, weights: Mapping[str, Array]) -> Any:
    """Return the ModelProto of a network. Raise ImportRefused with readings, or without the package onnx."""
    if network.readings is not None:
        raise readings_refused()
    try:
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise ImportRefused(
            "models of ONNX are written by the package onnx, which is not installed",
            place="format",
            remedy="pip install 'cellar-serve[onnx]'",
        ) from error
    made = _Export(network)
    made.run()
    arrays = {name: weights[name] for name, _ in network.parameters} | made.writer.constants
    graph = helper.make_graph(
        made.writer.nodes,
        "network",
        made.inputs(),
        made.outputs(),
        [numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in arrays.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="cellar"
    )
    helper.set_model_props(model, {NETWORK_KEY: network.spec.model_dump_json(exclude_none=True)})
    return model


@dataclass(frozen=True, slots=True)
class _State:
    """A state of a layer: its names before and after the step."""

    before: str
    after: str
    size: int


class _Export:
    """The layers of a network in order, and the names of their outputs."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.writer = GraphWriter()
        self.signals: dict[int, str] = {}
        """By the number of the layer; -1 is the network's input."""
        self.states: list[_State] = []

    def run(self) -> None:
        """Append the nodes of all layers."""
        self.signals[INPUT] = "x"
        if self.network.embedding is not None:
            self.signals[INPUT] = self.writer.add("Gather", [self.network.embedding.name, "x"], axis=0)
        for index, layer in enumerate(self.network.layers):
            if layer.dropout is None:
                self.signals[index] = self.layer(layer)
        self.writer.add("Identity", [self.read(self.network.output)], "y")

    def read(self, signal: tuple[int, ...]) -> str:
        """Return the name of a signal; a signal of several outputs is concatenated."""
        names = [self.signals[number] for number in served(self.network.layers, signal)]
        return names[0] if len(names) == 1 else self.writer.add("Concat", names, axis=-1)

    def layer(self, layer: Layer) -> str:
        """Append a layer and return the name of its output."""
        inputs = [self.read(signal) for signal in layer.reads]
        params = {param.name: self.parameter(layer, param.name, len(param.shape)) for param in layer.cell.params}
        if not layer.cell.states:
            return step_nodes(layer.cell, self.writer, inputs, {}, params)[0]
        if self.network.whole_sequences:
            return self.scan(layer, inputs, params)
        states = [_State(f"{layer.name}.{s.name}", f"{layer.name}.{s.name}.next", s.size) for s in layer.cell.states]
        before = {state.name: names.before for state, names in zip(layer.cell.states, states, strict=True)}
        output, following = step_nodes(layer.cell, self.writer, inputs, before, params)
        for state, names in zip(layer.cell.states, states, strict=True):
            self.writer.add("Identity", [following[state.name]], names.after)
        self.states += states
        return output

    def parameter(self, layer: Layer, name: str, axes: int) -> str:
        """Return the name of a parameter; matrices that are kept as bfloat16 are rounded as they are for serving."""
        from onnx import TensorProto

        full = f"{layer.name}.{name}"
        if axes < 2 or self.network.spec.weight_storage == "float32":
            return full
        rounded = self.writer.add("Cast", [full], to=TensorProto.BFLOAT16)
        return self.writer.add("Cast", [rounded], to=TensorProto.FLOAT)

    def scan(self, layer: Layer, inputs: list[str], params: Mapping[str, str]) -> str:
        """Append a recurrent layer over whole sequences."""
        from onnx import helper

        body = self.writer.inner()
        step = [body.fresh("step") for _ in inputs]
        before = {state.name: body.fresh(state.name) for state in layer.cell.states}
        output, following = step_nodes(layer.cell, body, step, before, params)
        # The outputs of a body are names of their own, since a value may be output and state at once.
        after = [body.add("Identity", [following[state.name]]) for state in layer.cell.states]
        answer = body.add("Identity", [output])
        graph = helper.make_graph(
            body.nodes,
            f"{layer.name}.step",
            [_untyped(name) for name in (*before.values(), *step)],
            [_untyped(name) for name in (*after, answer)],
        )
        begin = [self.initial(layer, state.name, state.size, inputs[0]) for state in layer.cell.states]
        read = [self.turned(name) for name in inputs] if layer.reverse else inputs
        found = [self.writer.fresh("unused") for _ in begin] + [self.writer.fresh("scanned")]
        self.writer.nodes.append(
            helper.make_node(
                "Scan", [*begin, *read], found, name=f"Scan {layer.name}", body=graph, num_scan_inputs=len(read)
            )
        )
        return self.turned(found[-1]) if layer.reverse else found[-1]

    def turned(self, name: str) -> str:
        """Return a sequence from its end to its start. Scan could do it, but not every runtime's."""
        bounds = [self.writer.constant([at], np.int64) for at in (-1, np.iinfo(np.int64).min, 0, -1)]
        return self.writer.add("Slice", [name, *bounds])

    def initial(self, layer: Layer, state: str, size: int, like: str) -> str:
        """Return the state (rows, size) that each row of a sequence begins with."""
        writer = self.writer
        trained = any(each.name == state for each in layer.trainable)
        value = f"{layer.name}.{state}0" if trained else writer.constant(0.0, np.float32)
        rows = writer.add("Slice", [writer.add("Shape", [like]), *(writer.constant([at], np.int64) for at in (1, 2))])
        shape = writer.add("Concat", [rows, writer.constant([size], np.int64)], axis=0)
        return writer.add("Expand", [value, shape])

    def inputs(self) -> list[Any]:
        """Return the inputs of the graph."""
        from onnx import TensorProto, helper

        lead = ["steps", "rows"] if self.network.whole_sequences else ["rows"]
        kind = TensorProto.FLOAT if self.network.embedding is None else TensorProto.INT64
        shape: list[str | int | None] = [*lead]
        if self.network.embedding is None:
            shape.append(self.network.in_size)
        x = helper.make_tensor_value_info("x", kind, shape)
        states = [
            helper.make_tensor_value_info(state.before, TensorProto.FLOAT, ["rows", state.size])
            for state in self.states
        ]
        return [x, *states]

    def outputs(self) -> list[Any]:
        """Return the outputs of the graph."""
        from onnx import TensorProto, helper

        lead = ["steps", "rows"] if self.network.whole_sequences else ["rows"]
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [*lead, self.network.out_size])
        states = [
            helper.make_tensor_value_info(state.after, TensorProto.FLOAT, ["rows", state.size]) for state in self.states
        ]
        return [y, *states]


def _untyped(name: str) -> Any:
    """Return a value of a graph within the graph, whose shape follows from the outer one."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

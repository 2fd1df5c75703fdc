"""Converts one layer of Keras to layers of Cellar, by a table from class to function.

A signal has an axis of time until a recurrent layer answers its last step alone. In Cellar every layer answers every
step, so what Keras computes of the last step is what Cellar answers there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from cellar.errors import ImportRefused
from cellar.interchange.activations import Activation
from cellar.interchange.chain import ImportedLayer, layer_norm, stateless
from cellar.interchange.keras.activations import LAYERS, activation_of, layer_activation
from cellar.interchange.keras.variables import Tensor, Variables
from cellar.interchange.recurrent import RecurrentForm, cell_for, recurrent_weights
from cellar.nn.model.layers.bidirectional import BidirectionalSpec
from cellar.nn.model.layers.dense import Activation as DenseActivation
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.dropout import DropoutSpec
from cellar.nn.model.layers.embedding import EmbeddingSpec
from cellar.nn.model.layers.recurrent import RecurrentSpec

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Signal:
    """An output of the model: the layers that compute it, its size, and whether it has an axis of time."""

    layers: tuple[ImportedLayer, ...]
    width: int | None
    """None before the first layer that says it."""
    time: bool

    def then(self, *layers: ImportedLayer, width: int | None = None, time: bool | None = None) -> "Signal":
        """Return the output of further layers, which read this signal."""
        return Signal((*self.layers, *layers), width or self.width, self.time if time is None else time)


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer of a file: its class, configuration and arrays."""

    class_name: str
    config: Config
    variables: Variables
    version: int
    """Of Keras."""
    place: str

    @property
    def name(self) -> str:
        """Return the name of the layer in the model."""
        return str(self.config.get("name", self.class_name))

    def option(self, name: str, default: Any = None) -> Any:
        """Return an entry of the configuration."""
        return self.config.get(name, default)

    def size(self, name: str) -> int:
        """Return a size of the configuration. Raise ImportRefused if it is none."""
        value = self.config.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.refused(f"{name} is no size", expected="a whole number from 1", actual=str(value)[:64])
        return value

    def number(self, name: str, default: float) -> float:
        """Return a number of the configuration. Raise ImportRefused if it is none."""
        value = self.config.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1:
            raise self.refused(f"{name} is no number from 0 to 1", actual=str(value)[:64])
        return float(value)

    def activation(self, name: str, default: str) -> Activation:
        """Return an activation of the configuration."""
        return activation_of(self.config.get(name, default), self.version, self.place)

    def inner(self, config: Any, part: str) -> "KerasLayer":
        """Return a layer or cell inside of this one. Raise ImportRefused if the configuration has none."""
        if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
            raise self.refused(f"the configuration of its {part} is missing")
        name = str(config.get("class_name"))
        return KerasLayer(name, config["config"], self.variables.part(part), self.version, self.place)

    def refused(self, detail: str, **more: str) -> ImportRefused:
        """Return an error that names the layer."""
        return ImportRefused(f"layer {self.place!r} ({self.class_name}): {detail}", place=self.place, **more)


def apply_layer(layer: KerasLayer, signal: Signal) -> Signal:
    """Return the output of a layer for a signal. Raise ImportRefused if Cellar cannot express the layer."""
    _check_dtype(layer)
    if layer.class_name in IGNORED:
        return signal
    if layer.class_name in LAYERS:
        function = layer_activation(layer.class_name, layer.config, layer.version, layer.place)
        return signal.then(*_activation(function, signal.width, layer.place))
    if layer.class_name == "Masking":
        raise layer.refused(
            "it leaves out steps of one value", remedy="save the model without it, and send the length of each row"
        )
    handler = HANDLERS.get(layer.class_name)
    if handler is None:
        raise layer.refused("this kind of layer cannot be expressed", expected=f"one of {', '.join(sorted(SUPPORTED))}")
    return handler(layer, signal)


def _check_dtype(layer: KerasLayer) -> None:
    """Raise ImportRefused unless the layer computes in float32."""
    dtype = layer.option("dtype", "float32")
    if isinstance(dtype, Mapping):
        dtype = dtype.get("config", {}).get("name") if isinstance(dtype.get("config"), Mapping) else None
    ids = layer.class_name in ("InputLayer", "Embedding")
    if dtype not in ("float32", None) and not (ids and str(dtype).startswith(("int", "uint", "float"))):
        raise layer.refused(
            "it computes in another type", expected="float32", actual=str(dtype)[:64], remedy="save it with float32"
        )
    if layer.option("quantization_config") is not None:
        raise layer.refused("it is quantised", expected="float32 weights")


def _activation(function: Activation, width: int | None, place: str) -> list[ImportedLayer]:
    """Return a layer that applies a function, or none for the identity."""
    if function.name == "identity":
        return []
    return [stateless(f"output = {function.of('x')}", width or 1, {}, place)]


def _dense(layer: KerasLayer, signal: Signal) -> Signal:
    units, bias = layer.size("units"), bool(layer.option("use_bias", True))
    kernel, *rest = layer.variables.take(2 if bias else 1)
    _check_shape(layer, kernel, (signal.width, units))
    weights = {"W": np.ascontiguousarray(kernel.array.T)}
    if bias:
        _check_shape(layer, rest[0], (units,))
        weights["b"] = rest[0].array
    function = layer.activation("activation", "linear")
    direct = function.name in get_args(DenseActivation)
    # the name was looked up in the table
    spec = DenseSpec(out_size=units, activation=function.name if direct else "identity", bias=bias)  # type: ignore[arg-type]
    dense = ImportedLayer(spec, weights, layer.place)
    more = [] if direct else _activation(function, units, layer.place)
    return signal.then(dense, *more, width=units)


def _embedding(layer: KerasLayer, signal: Signal) -> Signal:
    if layer.option("mask_zero"):
        raise layer.refused(
            "mask_zero leaves out steps", remedy="save it with mask_zero=False, and send the length of each row"
        )
    count, size = layer.size("input_dim"), layer.size("output_dim")
    (table,) = layer.variables.take(1)
    _check_shape(layer, table, (count, size))
    spec = EmbeddingSpec(count=count, out_size=size)
    return Signal((*signal.layers, ImportedLayer(spec, {"W": table.array}, layer.place)), size, time=True)


def _layer_norm(layer: KerasLayer, signal: Signal) -> Signal:
    axis = layer.option("axis", -1)
    if axis not in (-1, [-1], 2 if signal.time else 1, [2 if signal.time else 1]):
        raise layer.refused("it normalises along another axis than the last", expected="axis -1", actual=str(axis))
    if layer.option("rms_scaling"):
        raise layer.refused("rms_scaling cannot be expressed")
    scale, centre = bool(layer.option("scale", True)), bool(layer.option("center", True))
    tensors = iter(layer.variables.take(scale + centre))
    found = {name: next(tensors) for name, wanted in (("g", scale), ("b", centre)) if wanted}
    for tensor in found.values():
        _check_shape(layer, tensor, (signal.width,))
    width = signal.width or next(iter(found.values())).array.size if found or signal.width else 1
    filled = {"g": np.ones(width, np.float32), "b": np.zeros(width, np.float32)}
    weights = filled | {name: tensor.array for name, tensor in found.items()}
    return signal.then(layer_norm(layer.number("epsilon", 1e-3), weights, layer.place), width=width)


def _dropout(layer: KerasLayer, signal: Signal) -> Signal:
    rate = layer.option("rate", 0.5)
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise layer.refused("its rate is no probability", expected="0 to 1", actual=str(rate)[:64])
    return signal.then(ImportedLayer(DropoutSpec(rate=float(rate)), {}, layer.place))


def _time_distributed(layer: KerasLayer, signal: Signal) -> Signal:
    inner = layer.inner(layer.option("layer"), "layer")
    if inner.class_name not in ("Dense", "LayerNormalization", "Dropout", *LAYERS):
        raise layer.refused("the layer in it cannot be expressed", actual=inner.class_name[:64])
    return replace(apply_layer(inner, replace(signal, time=False)), time=signal.time)


def _recurrent(layer: KerasLayer, signal: Signal) -> Signal:
    if layer.option("go_backwards"):
        raise layer.refused(
            "it reads each sequence from its end and answers in that order",
            remedy="put it into Bidirectional, whose answers are in the order of time",
        )
    imported, units = _one_direction(layer, signal)
    time = bool(layer.option("return_sequences", False))
    return signal.then(imported, width=units, time=time)


def _one_direction(layer: KerasLayer, signal: Signal) -> tuple[ImportedLayer, int]:
    """Return a recurrent layer, whichever way it reads, and its width."""
    if not signal.time:
        raise layer.refused("it reads a signal without an axis of time")
    if layer.option("time_major"):
        raise layer.refused("time_major cannot be expressed")
    cell = layer
    if layer.class_name == "RNN":
        cell = layer.inner(layer.option("cell"), "cell")
        if cell.class_name not in CELLS:
            raise layer.refused("the cell in it cannot be expressed", actual=cell.class_name[:64])
    else:
        cell = replace(layer, variables=layer.variables.part("cell"))
    form = _form(cell)
    units, bias = cell.size("units"), bool(cell.option("use_bias", True))
    tensors = cell.variables.take(3 if bias else 2)
    names = dict(zip(("kernel", "recurrent_kernel", "bias"), tensors, strict=False))
    in_size = signal.width or tensors[0].array.shape[0]
    arrays = {name: tensor.array for name, tensor in names.items()}
    places = {name: tensor.name for name, tensor in names.items()}
    weights = recurrent_weights(form, "keras", arrays, (in_size, units), places)
    return ImportedLayer(form.spec(units), weights, layer.place), units


def _form(cell: KerasLayer) -> RecurrentForm:
    """Return the cell of Cellar for one of Keras."""
    kind = cell.class_name.removesuffix("Cell")
    options = {"reset_after": bool(cell.option("reset_after", False))} if kind == "GRU" else {}
    function = cell.activation("activation", "tanh")
    if kind == "SimpleRNN":
        return RecurrentForm(cell_for("keras", kind), {"f": function})
    gates = cell.activation("recurrent_activation", "sigmoid")
    return RecurrentForm(cell_for("keras", kind, **options), {"f": gates, "g": function, "h": function})


def _bidirectional(layer: KerasLayer, signal: Signal) -> Signal:
    forward = layer.inner(layer.option("layer"), "forward_layer")
    given = layer.option("backward_layer") or layer.option("layer")
    backward = layer.inner(given, "backward_layer")
    for inner in (forward, backward):
        if inner.class_name not in RECURRENT:
            raise layer.refused("the layer in it cannot be expressed", actual=inner.class_name[:64])
    if not forward.option("return_sequences", False):
        raise layer.refused(
            "without return_sequences its second half belongs to the first step, not to the last",
            remedy="use return_sequences=True",
        )
    if forward.option("go_backwards"):
        raise layer.refused("its first layer reads from the end")
    mode = layer.option("merge_mode", "concat")
    if not isinstance(mode, str) or mode not in MERGES:
        raise layer.refused("this merge_mode cannot be expressed", expected=", ".join(MERGES), actual=str(mode))
    (first, width), (second, other) = _one_direction(forward, signal), _one_direction(backward, signal)
    assert isinstance(first.spec, RecurrentSpec)
    assert isinstance(second.spec, RecurrentSpec)
    spec = BidirectionalSpec(layer=first.spec, reverse_layer=None if second.spec == first.spec else second.spec)
    weights = {f"forward.{name}": array for name, array in first.weights.items()}
    weights |= {f"reverse.{name}": array for name, array in second.weights.items()}
    both = signal.then(ImportedLayer(spec, weights, layer.place), width=width + other)
    if mode == "concat":
        return both
    if width != other:
        raise layer.refused("its directions have different sizes", expected=str(width), actual=str(other))
    return both.then(MERGES[mode](width, layer.place), width=width)


def _sum(scale: float) -> Callable[[int, str], ImportedLayer]:
    """Return a dense layer that adds the two halves of its input, times a power of two. All other weights are 0."""

    def layer(width: int, place: str) -> ImportedLayer:
        """Return a dense layer that adds both halves of its input."""
        half = np.eye(width, dtype=np.float32) * np.float32(scale)
        return ImportedLayer(DenseSpec(out_size=width, bias=False), {"W": np.hstack([half, half])}, place)

    return layer


def _product(width: int, place: str) -> ImportedLayer:
    half, none = np.eye(width, dtype=np.float32), np.zeros((width, width), np.float32)
    text = "param A: hidden x in\nparam B: hidden x in\noutput = (A @ x) * (B @ x)"
    return stateless(text, width, {"A": np.hstack([half, none]), "B": np.hstack([none, half])}, place)


def _concatenation(width: int, place: str) -> ImportedLayer:
    raise AssertionError((width, place))


MERGES: dict[Any, Callable[[int, str], ImportedLayer]] = {
    "concat": _concatenation,
    "sum": _sum(1.0),
    "ave": _sum(0.5),
    "mul": _product,
}


def _check_shape(layer: KerasLayer, tensor: Tensor, expected: tuple[int | None, ...]) -> None:
    """Raise ImportRefused unless an array has a shape; None is any size."""
    found = tensor.array.shape
    if len(found) != len(expected) or any(size not in (None, real) for size, real in zip(expected, found, strict=True)):
        raise ImportRefused(
            f"layer {layer.place!r}: the array {tensor.name!r} has another shape",
            place=tensor.name,
            expected=str(list(expected)),
            actual=str(list(found)),
            remedy="transpose it" if found[::-1] == expected else None,
        )


CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell")
RECURRENT = ("SimpleRNN", "LSTM", "GRU", "RNN")
IGNORED = (
    "InputLayer",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "SpatialDropout1D",
    "ActivityRegularization",
)
"""Layers that do nothing at inference, and that Cellar does not train with."""

HANDLERS: dict[str, Callable[[KerasLayer, Signal], Signal]] = {
    "Dense": _dense,
    "Embedding": _embedding,
    "LayerNormalization": _layer_norm,
    "Dropout": _dropout,
    "TimeDistributed": _time_distributed,
    "Bidirectional": _bidirectional,
    **dict.fromkeys(RECURRENT, _recurrent),
}
SUPPORTED = (*HANDLERS, *IGNORED, *LAYERS, "Add", "Sequential", "Functional")

"""Converts a Sequential or functional model of Keras to a network."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cellar.errors import ImportRefused
from cellar.interchange.chain import ImportedLayer, network_of, residual_sum
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.keras.container import KerasFile, open_keras
from cellar.interchange.keras.layers import KerasLayer, Signal, apply_layer
from cellar.interchange.keras.variables import Variables
from cellar.nn.model.layers.embedding import EmbeddingSpec

MAX_LAYERS = 512
MAX_NESTING = 8
MODELS = ("Sequential", "Functional", "Model")


def read_keras(path: Path) -> ImportedNetwork:
    """Return the network of a file of Keras.

    Raise ImportRefused, with the name of the layer or array, if it cannot be read or expressed.
    """
    return network_in(open_keras(path))


def network_in(file: KerasFile) -> ImportedNetwork:
    """Return the network in the contents of a file, as `read_keras` does."""
    signal = _model(file, file.model, file.variables, None, "")
    file.variables.check_all_taken()
    return network_of(_in_size(signal.layers), signal.layers)


def _model(file: KerasFile, model: Any, variables: Variables, signal: Signal | None, path: str) -> Signal:
    """Return the output of a model for a signal; the outermost model has None and begins with its input."""
    if path.count("/") > MAX_NESTING:
        raise ImportRefused("models are nested too deeply", place=path, expected=f"at most {MAX_NESTING}")
    class_name, config = _parts(model, path)
    if class_name == "Sequential":
        layers = config.get("layers") if isinstance(config, Mapping) else config
        return _chain(file, _entries(layers, path), variables, signal, path)
    if class_name in MODELS and isinstance(config, Mapping) and "input_layers" in config:
        return _graph(file, config, variables, signal, path)
    raise ImportRefused(
        f"a model of the class {class_name!r} cannot be read, since its file does not say what it computes",
        place=path or class_name or "class_name",
        expected="a Sequential or functional model",
    )


def _parts(model: Any, path: str) -> tuple[str, Any]:
    if not isinstance(model, Mapping) or not isinstance(model.get("config"), Mapping | list):
        raise ImportRefused("the configuration of a model is missing", place=path or "config.json")
    return str(model.get("class_name"))[:64], model["config"]


def _entries(layers: Any, path: str) -> list[Mapping[str, Any]]:
    """Return the layers' entries. Raise ImportRefused unless each is one."""
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise ImportRefused("the model has no list of layers", place=path or "layers", expected=f"at most {MAX_LAYERS}")
    for index, layer in enumerate(layers):
        if not isinstance(layer, Mapping) or not isinstance(layer.get("config"), Mapping | list):
            raise ImportRefused("a layer has no configuration", place=f"{path}layers/{index}")
    return layers


def _chain(
    file: KerasFile, layers: list[Mapping[str, Any]], variables: Variables, signal: Signal | None, path: str
) -> Signal:
    """Return the output of layers that are applied one after the other."""
    signal = signal or _input(layers)
    for layer in layers:
        signal = _apply(file, layer, variables, signal, path)
    return signal


def _apply(file: KerasFile, entry: Mapping[str, Any], variables: Variables, signal: Signal, path: str) -> Signal:
    """Return the output of one layer or inner model."""
    class_name, config = str(entry.get("class_name")), entry["config"]
    name = _name(entry)
    place = f"{path}{name}"
    own = variables.layer(class_name, name) if class_name != "InputLayer" else variables
    if class_name in MODELS:
        return _model(file, entry, own, signal, f"{place}/")
    if not isinstance(config, Mapping):
        raise ImportRefused("a layer has no configuration", place=place)
    return apply_layer(KerasLayer(class_name, config, own, file.version, place), signal)


def _name(entry: Mapping[str, Any]) -> str:
    """Return the name of a layer in the model."""
    config = entry["config"]
    own = config.get("name") if isinstance(config, Mapping) else None
    return str(own or entry.get("name") or entry.get("class_name"))


def _graph(
    file: KerasFile, config: Mapping[str, Any], variables: Variables, signal: Signal | None, path: str
) -> Signal:
    """Return the output of a functional model. Each layer is called once, with one signal, or two that are added."""
    layers = _entries(config.get("layers"), path)
    (start,), (end,) = _names(config["input_layers"], path), _names(config.get("output_layers"), path)
    found: dict[str, Signal] = {}
    for entry in layers:
        name = _name(entry)
        if entry.get("class_name") == "InputLayer":
            variables.layer("InputLayer", name)
            if name == start:
                found[name] = signal or _input([entry])
            continue
        sources = [_source(found, source, f"{path}{name}") for source in _sources(entry, f"{path}{name}")]
        if entry.get("class_name") == "Add":
            variables.layer("Add", name)
            found[name] = _add(sources, f"{path}{name}")
        elif len(sources) == 1:
            found[name] = _apply(file, entry, variables, sources[0], path)
        else:
            raise ImportRefused(
                f"layer {path}{name!r} ({entry.get('class_name')}): it reads {len(sources)} signals",
                place=f"{path}{name}",
                expected="one signal, or Add of two; a state that another layer gives cannot be expressed",
            )
    return _source(found, end, path or "output_layers")


def _source(found: Mapping[str, Signal], name: str, place: str) -> Signal:
    if name not in found:
        raise ImportRefused(f"nothing before it is called {name[:64]!r}", place=place)
    return found[name]


def _add(sources: list[Signal], place: str) -> Signal:
    """Return the sum of a signal and of the output of layers that read it."""
    layers = residual_sum(sources[0].layers, sources[1].layers, place) if len(sources) == 2 else None
    if layers is None or sources[0].time != sources[1].time or sources[0].width != sources[1].width:
        raise ImportRefused(
            f"layer {place!r} (Add): it adds other things than a signal and what layers make of it", place=place
        )
    return Signal(layers, sources[0].width, sources[0].time)


def _names(layers: Any, path: str) -> tuple[str, ...]:
    """Return the one layer that is named as the input or output: ["x", 0, 0], or a list of such."""
    if isinstance(layers, list) and len(layers) == 1 and isinstance(layers[0], list):
        (layers,) = layers
    if not isinstance(layers, list) or not layers or not isinstance(layers[0], str) or layers[1:] not in ([0, 0], []):
        raise ImportRefused("the model has several inputs or outputs, or none", place=path or "model", expected="one")
    return (layers[0],)


def _sources(entry: Mapping[str, Any], place: str) -> list[str]:
    """Return the names of the layers whose answers this one reads. Raise ImportRefused if it is called twice."""
    nodes = entry.get("inbound_nodes")
    if not isinstance(nodes, list) or len(nodes) != 1:
        raise ImportRefused(f"layer {place!r} is called several times, or never", place=place, expected="once")
    histories = list(_histories(nodes[0], 0))
    if any(index != 0 for _, index in histories):
        raise ImportRefused(f"layer {place!r} reads a state that another layer answers", place=place)
    return [name for name, _ in histories]


def _histories(value: Any, depth: int) -> Iterator[tuple[str, int]]:
    """Yield the tensors of a call, as (layer, number of its answer): of Keras 3 and, as lists, of Keras 2."""
    if depth > 8:
        return
    if isinstance(value, Mapping):
        history = value.get("config", {}).get("keras_history") if isinstance(value.get("config"), Mapping) else None
        if isinstance(history, list) and len(history) == 3:
            yield str(history[0]), history[2]
        else:
            for part in value.values():
                yield from _histories(part, depth + 1)
    elif isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str) and isinstance(value[2], int):
        yield value[0], value[2]
        yield from _histories(value[3:], depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _histories(part, depth + 1)


def _input(layers: list[Mapping[str, Any]]) -> Signal:
    """Return the signal that a model begins with, as its first layer says: (rows, time, numbers) or (rows, numbers)."""
    config = layers[0]["config"] if layers and isinstance(layers[0]["config"], Mapping) else {}
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if isinstance(shape, Mapping):
        shape = shape.get("config")
    if not isinstance(shape, list) or len(shape) not in (2, 3):
        return Signal((), None, time=True)
    width = shape[-1] if isinstance(shape[-1], int) and shape[-1] > 0 else None
    return Signal((), width, time=len(shape) == 3)


def _in_size(layers: Sequence[ImportedLayer]) -> int:
    """Return how many numbers the first layer reads that says it."""
    for layer in layers:
        if layer.inner:
            return _in_size(layer.inner)
        if isinstance(layer.spec, EmbeddingSpec):
            return 1
        for array in layer.weights.values():
            return int(array.shape[-1])
    raise ImportRefused("the model computes nothing, or does not say how many numbers it reads", place="model")

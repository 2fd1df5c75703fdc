"""Converts state dicts to weights with Cellar's names, and back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellar.cells import BUILT_IN, Layout, StackedArray
from cellar.interchange.imported import check_finite, tensor_refused
from cellar.interchange.stacking import stack, unstack
from cellar.interchange.torch.modules import RECURRENT, TorchModule, refused
from cellar.interchange.torch.translate import Place, norm_layer, normalizer_layer, parameter_layers
from cellar.memory.file_mapping import copy_into
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.embedding import EmbeddingSpec
from cellar.nn.model.layers.layer_norm import LayerNormSpec
from cellar.nn.model.layers.recurrent import RecurrentSpec
from cellar.nn.model.lowering import LayerSpec
from cellar.nn.model.network import Network

Array = NDArray[np.float32]

_WEIGHT_AND_BIAS = ("weight", "bias")


def _layout(layer: str, weight: str, bias: str | None) -> Layout:
    parts = [StackedArray("weight", (weight,))]
    return Layout(layer, (*parts, StackedArray("bias", (bias,), optional=True)) if bias else tuple(parts))


LINEAR = _layout("Linear", "W", "b")
LINEAR_WITHOUT_BIAS = _layout("Linear", "W", None)
EMBEDDING = _layout("Embedding", "W", None)
LAYER_NORM = _layout("LayerNorm", "g", "b")


NORMALIZER = Layout(
    "EmpiricalNormalization",
    (StackedArray("_mean", ("m",), shape=(1, -1)), StackedArray("_std", ("s",), shape=(1, -1))),
)
STATISTICS = ("_var", "count")
"""Further tensors of an EmpiricalNormalization, which only its training reads."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A layer of Cellar and the tensors that hold its parameters."""

    prefix: str
    """The prefix of the parameters' names."""
    layout: Layout
    names: Mapping[str, str]
    """Of the tensors, by the arrays of the layout."""
    bias: bool
    """Whether the module has its optional arrays."""

    @property
    def expected(self) -> Layout:
        """The layout, in which no array may be left out if the module has its optional ones."""
        arrays = tuple(replace(array, optional=array.optional and not self.bias) for array in self.layout.arrays)
        return replace(self.layout, arrays=arrays)

    def parameters(self, network: Network) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the layer's parameters by their names without the prefix."""
        begin = f"{self.prefix}."
        return {name.removeprefix(begin): shape for name, shape in network.parameters if name.startswith(begin)}


def bindings(network: Network, modules: Sequence[TorchModule]) -> list[Binding]:
    """Return where the parameters of a network stand in the state dict of its modules. Raise ImportRefused."""
    places, slots = parameter_layers(network), list(_slots(modules))
    if len(places) != len(slots):
        raise refused(
            "the network has another number of layers with weights than there are modules",
            "modules",
            expected=str(len(places)),
            actual=str(len(slots)),
        )
    return [_binding(place, module, suffix) for place, (module, suffix) in zip(places, slots, strict=True)]


def _slots(modules: Sequence[TorchModule]) -> Iterator[tuple[TorchModule, str]]:
    """Yield each module with tensors, once for each layer and direction, with the end of its tensors' names."""
    for module in modules:
        if module.type in RECURRENT:
            for layer in range(module.layers):
                yield module, f"_l{layer}"
                if module.bidirectional:
                    yield module, f"_l{layer}_reverse"
        elif module.in_size:
            yield module, ""


def _binding(place: Place, module: TorchModule, suffix: str) -> Binding:
    layout = layout_of(place.spec)
    if layout is None or layout.layer != module.type.removesuffix("Cell"):
        raise refused(
            f"the layer {place.prefix} of the network is no {module.type}",
            module.name,
            expected=layout.layer if layout else "a layer that PyTorch has",
            actual=module.type,
        )
    names = {array.name: module.tensor(array.name + suffix) for array in layout.arrays}
    return Binding(place.prefix, layout, names, module.bias)


def layout_of(spec: LayerSpec) -> Layout | None:
    """Return how PyTorch keeps the parameters of a layer, None if it has no such layer."""
    match spec:
        case DenseSpec():
            return LINEAR if spec.bias else LINEAR_WITHOUT_BIAS
        case EmbeddingSpec():
            return EMBEDDING
        case LayerNormSpec():
            return LAYER_NORM
        case RecurrentSpec(cell=str(name)):
            return BUILT_IN[name].layouts.get("torch") if name in BUILT_IN else None
        case RecurrentSpec() if _has_equations(spec, norm_layer):
            return LAYER_NORM
        case RecurrentSpec() if _has_equations(spec, normalizer_layer):
            return NORMALIZER
    return None


def _has_equations(spec: RecurrentSpec, layer: Callable[[float, int], RecurrentSpec]) -> bool:
    """Return whether these are the equations of a layer, with any epsilon."""
    text = "" if isinstance(spec.cell, str) else spec.cell.equations
    # the layer has a cell of its own
    before, _, after = layer(0.5, 1).cell.equations.partition("0.5")  # type: ignore[union-attr]
    return text.startswith(before) and text.endswith(after)


def read_state_dict(
    network: Network,
    modules: Sequence[TorchModule],
    tensors: Iterable[str],
    read: Callable[[str], Array],
    into: Mapping[str, Array],
    ignored: Sequence[str] = (),
) -> None:
    """Fill the parameters of a network, by Cellar's names, from the tensors of its modules, one layer after the other.

    `read` returns a tensor by its name. Tensors whose names begin with one of `ignored` may be left over.
    Raise ImportRefused, which names the tensor.
    """
    names, bound = set(tensors), bindings(network, modules)
    used = {name for binding in bound for name in binding.names.values()}
    used |= {m.tensor(each) for m in modules if m.type == NORMALIZER.layer for each in STATISTICS}
    for name in sorted(names - used):
        if not any(name == begin or name.startswith(f"{begin}.") for begin in ignored):
            raise tensor_refused(
                "belongs to none of the modules",
                name,
                "/weights",
                expected=f"tensors of {', '.join(module.name or '.' for module in modules if module.in_size)}",
                actual=name[:128],
                remedy="name its module in `modules`, or the beginning of its name in `ignore`",
            )
    for binding in bound:
        arrays = {array: read(name) for array, name in binding.names.items() if name in names}
        check_finite({binding.names[array]: value for array, value in arrays.items()})
        shapes = binding.parameters(network)
        for parameter, value in unstack(binding.expected, arrays, shapes, names=binding.names).items():
            copy_into(into[f"{binding.prefix}.{parameter}"], value)


def state_dict(network: Network, modules: Sequence[TorchModule], weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return weights as the tensors of modules, which `load_state_dict` takes. Raise ImportRefused.

    Reading them again gives the same weights, bit for bit.
    """
    found: dict[str, Array] = {}
    for binding in bindings(network, modules):
        own = {name: weights[f"{binding.prefix}.{name}"] for name in binding.parameters(network)}
        for array, value in stack(binding.layout, own).items():
            if binding.bias or array in _kept(binding.layout):
                found[binding.names[array]] = value
            elif value.any():
                raise refused(f"{binding.names[array]!r} is not zero, and its module has no bias", binding.names[array])
    return found


def _kept(layout: Layout) -> set[str]:
    return {array.name for array in layout.arrays if not array.optional}

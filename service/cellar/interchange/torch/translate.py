"""Converts modules of PyTorch to a network, and a network to modules of a Sequential."""

from collections.abc import Sequence
from dataclasses import dataclass

from cellar.cells import BUILT_IN
from cellar.interchange.torch.activations import DENSE, FUNCTIONS, function_layer, function_text, joined
from cellar.interchange.torch.modules import CELLS, RECURRENT, TorchModule, refused
from cellar.nn.model.layers.bidirectional import BidirectionalSpec
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.dropout import DropoutSpec
from cellar.nn.model.layers.embedding import EmbeddingSpec
from cellar.nn.model.layers.layer_norm import LayerNormSpec
from cellar.nn.model.layers.recurrent import EquationsSpec, RecurrentSpec
from cellar.nn.model.layers.residual import ResidualSpec
from cellar.nn.model.lowering import LayerSpec
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

NORM_EPSILON = 1e-5
"""Of the cell language's `layernorm`, and PyTorch's default."""


def network_of(modules: Sequence[TorchModule]) -> NetworkSpec:
    """Return the network that computes what the modules compute, one after the other. Raise ImportRefused."""
    first = next((module for module in modules if module.in_size), None)
    if first is None:
        raise refused("no module has tensors", "modules", expected="a module with weights")
    layers: list[LayerSpec] = []
    width = first.in_size
    for number, module in enumerate(modules):
        pointer = f"/modules/{number}"
        if module.in_size and module.in_size != width and module is not first:
            raise refused(
                f"{module.name!r} reads another number of values than the module before it answers",
                module.name,
                expected=str(width),
                actual=str(module.in_size),
                remedy="check the order of `modules`",
                pointer=pointer,
            )
        if module.type in DENSE and layers and _takes_function(layers[-1]):
            # the name was looked up in the table
            layers[-1] = joined(layers[-1], module.type)  # type: ignore[arg-type]
            continue
        layers += _layers(module, width, pointer)
        width = module.out_size or width
    return NetworkSpec(in_size=1 if first.type == "Embedding" else first.in_size, layers=tuple(layers))


def _takes_function(layer: LayerSpec) -> bool:
    return isinstance(layer, DenseSpec) and layer.activation == "identity"


def _layers(module: TorchModule, width: int, pointer: str) -> list[LayerSpec]:
    """Return the layers of one module that reads `width` numbers."""
    match module.type:
        case "Linear":
            return [DenseSpec(out_size=module.size, bias=module.bias)]
        case "Embedding":
            return [EmbeddingSpec(count=module.in_size, out_size=module.size)]
        case "LayerNorm":
            return [_norm(module)]
        case "EmpiricalNormalization":
            return [normalizer_layer(module.settings.get("eps", 1e-2), module.size)]
        case "Identity":
            return []
        case "Dropout":
            return [DropoutSpec(rate=_rate(module, pointer))]
        case kind if kind in FUNCTIONS:
            return [function_layer(kind, module.settings, width)]
        case kind if kind in RECURRENT or kind in CELLS:
            return _recurrent(module, pointer)
    raise refused(f"the module {module.type!r} is not known", module.name, actual=module.type, pointer=pointer)


def _rate(module: TorchModule, pointer: str) -> float:
    rate = module.settings.get("p", 0.5 if module.type == "Dropout" else 0.0)
    if not 0 <= rate < 1:
        raise refused(
            "a rate of dropout is below 1",
            module.name,
            expected="from 0 to below 1",
            actual=f"{rate:g}",
            pointer=pointer,
        )
    return rate


def _norm(module: TorchModule) -> LayerSpec:
    epsilon = module.settings.get("eps", NORM_EPSILON)
    return LayerNormSpec() if epsilon == NORM_EPSILON else norm_layer(epsilon, module.size)


def norm_layer(epsilon: float, size: int) -> RecurrentSpec:
    """Return a layer norm with another epsilon than that of `layernorm`."""
    text = "param g: in\nparam b: in\nd = x - mean(x)\n" + f"output = g * (d / sqrt(mean(d * d) + {epsilon!r})) + b"
    return RecurrentSpec(cell=EquationsSpec(equations=text, init={"g": "ones"}), hidden_size=size)


def normalizer_layer(epsilon: float, size: int) -> RecurrentSpec:
    """Return the layer that subtracts a mean and divides by a deviation, to which rsl_rl adds a number."""
    text = f"param m: in\nparam s: in\noutput = (x - m) / (s + {epsilon!r})"
    return RecurrentSpec(cell=EquationsSpec(equations=text, init={"s": "ones"}), hidden_size=size)


CELL_OF = {
    (spec.layouts["torch"].layer, "projection" in spec.layouts["torch"].options): name
    for name, spec in BUILT_IN.items()
    if "torch" in spec.layouts and not spec.layouts["torch"].options.get("export_only", False)
}
"""The built-in cell of each recurrent module, without and with a projection."""


def _recurrent(module: TorchModule, pointer: str) -> list[LayerSpec]:
    kind = module.type.removesuffix("Cell")
    if kind == "RNN" and module.nonlinearity is None:
        raise refused("an RNN computes tanh or relu", module.name, expected="its nonlinearity", pointer=pointer)
    layer = RecurrentSpec(
        cell=CELL_OF[kind, bool(module.proj_size)],
        hidden_size=module.size,
        proj_size=module.proj_size or None,
        activation=module.nonlinearity if kind == "RNN" else None,
    )
    one: LayerSpec = BidirectionalSpec(layer=layer) if module.bidirectional else layer
    rate = _rate(module, pointer)
    between: list[LayerSpec] = [DropoutSpec(rate=rate)] if rate else []
    return [one, *([*between, one] * (module.layers - 1))]


# --- and back -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A layer with parameters: the prefix of their names, and its specification."""

    prefix: str
    spec: LayerSpec


def parameter_layers(network: Network) -> list[Place]:
    """Return the layers with parameters, those of two directions one by one, in the order of their names' numbers.

    Raise ImportRefused for a residual layer, which no Sequential has.
    """
    found: list[Place] = []
    names = {name.rpartition(".")[0] for name, _ in network.parameters}
    for number, spec in enumerate(network.spec.layers):
        if isinstance(spec, ResidualSpec):
            raise refused(
                "a residual layer is no module of a Sequential",
                f"layers/{number}",
                remedy="take the weights by Cellar's names, without names=torch",
                pointer=f"/network/layers/{number}",
            )
        inner = {f"{number}": spec}
        if isinstance(spec, BidirectionalSpec):
            inner = {f"{number}.forward": spec.layer, f"{number}.reverse": spec.reverse_layer or spec.layer}
        found += [Place(prefix, layer) for prefix, layer in inner.items() if prefix in names]
    return found


def modules_of(network: Network) -> tuple[TorchModule, ...]:
    """Return the modules of a Sequential that computes what a network computes, named by their numbers.

    Raise ImportRefused if PyTorch has no module for a layer.
    """
    modules: list[TorchModule] = []
    width = network.in_size
    for number, spec in enumerate(network.spec.layers):
        pointer = f"/network/layers/{number}"
        for module in _modules(spec, width, pointer):
            width = module.out_size or width
            modules.append(module.model_copy(update={"name": str(len(modules))} if module.in_size else {}))
    return tuple(modules)


_KIND_OF = {function_text(kind, {}): kind for kind in FUNCTIONS}
"""Functions by the equations of their layers, those with settings as PyTorch has them by default."""


def _modules(spec: LayerSpec, width: int, pointer: str) -> list[TorchModule]:
    match spec:
        case DenseSpec():
            linear = TorchModule(type="Linear", in_size=width, size=spec.out_size, bias=spec.bias)
            kinds = [name for name in DENSE if DENSE[name] == spec.activation]
            return [linear, *(TorchModule(type=kind) for kind in kinds)]
        case EmbeddingSpec():
            return [TorchModule(type="Embedding", in_size=spec.count, size=spec.out_size)]
        case LayerNormSpec():
            return [TorchModule(type="LayerNorm", in_size=width, size=width)]
        case DropoutSpec():
            return [TorchModule(type="Dropout", settings={"p": spec.rate})]
        case BidirectionalSpec() if spec.reverse_layer in (None, spec.layer):
            return [_recurrent_module(spec.layer, width, f"{pointer}/layer").model_copy(update={"bidirectional": True})]
        case RecurrentSpec(cell=EquationsSpec(equations=text)) if text in _KIND_OF:
            return [TorchModule(type=_KIND_OF[text])]
        case RecurrentSpec():
            return [_recurrent_module(spec, width, pointer)]
    remedy = "export it as safetensors or json" if spec.type == "readings" else None
    raise refused(f"a layer {spec.type} is no module of a Sequential", pointer[1:], pointer=pointer, remedy=remedy)


def _recurrent_module(spec: RecurrentSpec, width: int, pointer: str) -> TorchModule:
    layout = BUILT_IN[spec.cell].layouts.get("torch") if isinstance(spec.cell, str) else None
    no_module = layout is None and "PyTorch has no module that computes its cell"
    if spec.trainable_state:
        no_module = "PyTorch's modules keep no initial state"
    if spec.activation not in (None, "tanh", "relu"):
        no_module = f"PyTorch's RNN has no {spec.activation}"
    if no_module or layout is None:
        raise refused(
            f"{no_module}",
            pointer[1:],
            expected="a cell of rnn, lstm, lstm_projected, gru or gru_torch",
            actual=spec.cell if isinstance(spec.cell, str) else "equations",
            remedy="take the weights by Cellar's names, without names=torch",
            pointer=pointer,
        )
    nonlinearity = (spec.activation or "tanh") if layout.layer == "RNN" else None
    return TorchModule(
        type=layout.layer,
        in_size=width,
        size=spec.hidden_size,
        proj_size=spec.proj_size or 0,
        nonlinearity=nonlinearity,  # type: ignore[arg-type]  # the name was looked up in the table
    )

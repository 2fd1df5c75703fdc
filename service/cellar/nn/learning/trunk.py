"""The layers between the readings and the forecast of a network, which sessions learn in the scale of the targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.nn.learning.bptt_network import bptt_learning_of
from cellar.nn.learning.layout import ReadoutLayout
from cellar.nn.learning.readout_network import learning_of
from cellar.nn.learning.spec import ADDED, TRUNK, BpttSpec, Learning, RlsSpec
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.model.network import Network

COPIES = ("0", "1", "4")
"""The layers of a network of the recipe whose weights are zeros and ones, which take and copy numbers."""

LEARNT = (2, 3)
"""Its other layers."""

RIDGE = 10.0
"""The default weight of changes of forecasts: each target has several numbers, which are not independent."""

AFTER = 16
"""The default window has as many steps more than the horizon, before which the targets of a step are not known."""


@dataclass(frozen=True)
class Trunk:
    """The layers between readings and forecast as a network, which reads features and answers scaled numbers."""

    whole: Network
    network: Network
    first: int
    """The layers of the whole network before it."""

    @classmethod
    def of(cls, whole: Network) -> "Trunk | None":
        """Return those of a network; None if it has neither readings nor a forecast, or one that is no point."""
        forecast, spec = whole.forecast, whole.spec
        if forecast is not None and (forecast.head != "point" or any(target.log for target in forecast.targets)):
            return None
        first = int(whole.readings is not None)
        layers = spec.layers[first : len(spec.layers) - (forecast is not None)]
        if len(layers) in (0, len(spec.layers)):
            return None
        in_size = whole.in_size if whole.readings is None else len(whole.readings.features)
        return cls(whole, Network(spec.model_copy(update={"in_size": in_size, "layers": layers})), first)

    @cached_property
    def is_recipe(self) -> bool:
        """Whether the layers have the form that jobs on datasets give them."""
        layers = self.network.spec.layers
        if [layer.type for layer in layers] != ["dense", "residual", "dense"]:
            return False
        inner = [layer.type for layer in getattr(layers[1], "layers", ())]
        return inner == ["dense", "recurrent", "dense"] and "4.b" not in dict(self.network.parameters)

    def has_added(self, weights: Mapping[str, Floats]) -> bool:
        """Return whether outputs are sums with those of a layer inside, given all weights: the last one copies them."""
        if not self.is_recipe:
            return False
        copied = weights[f"{4 + self.first}.W"]
        return "3.b" in dict(self.network.parameters) and np.array_equal(copied, np.eye(*copied.shape))

    def weights(self, whole: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return its weights, under its own names, of those of the whole network."""
        return {name: whole[self.moved(name)] for name, _ in self.network.parameters}

    def moved(self, name: str) -> str:
        """Return the name that a parameter has in the whole network."""
        number, dot, rest = name.partition(".")
        return f"{int(number) + self.first}{dot}{rest}"

    def inner(self, learning: Learning) -> Learning:
        """Return the learning of the trunk as a network of its own, for that of a session."""
        spec = learning.spec
        if not isinstance(spec, BpttSpec):
            return learning
        layers = (LEARNT if self.is_recipe else None) if spec.layers is None else [n - self.first for n in spec.layers]
        return learning.model_copy(update={"spec": spec.model_copy(update={"layers": layers and tuple(layers)})})


def trunk_learning(trunk: Trunk, weights: Mapping[str, Floats], spec: RlsSpec | BpttSpec) -> Learning:
    """Return the learning of sessions, in the scale of the targets. Raise InvalidInput if they cannot learn it."""
    spec = _with_defaults(trunk.whole.forecast, spec)
    if isinstance(spec, RlsSpec):
        found = _added(trunk, spec) if trunk.has_added(weights) else learning_of(trunk.network, spec)
    else:
        given = Learning(spec=spec, features=0, outputs=0, bias=False, layer=0)
        _check_layers(trunk, spec)
        inner = trunk.inner(given).spec
        assert isinstance(inner, BpttSpec)
        found = bptt_learning_of(trunk.network, inner)
    part = ADDED if isinstance(spec, RlsSpec) and trunk.has_added(weights) else TRUNK
    last = trunk.whole.layers[-1].number
    found = found.model_copy(update={"spec": spec, "part": part, "layer": last})
    layout = ReadoutLayout(found, trunk.whole.state_size)
    layout.check_size()
    return found.model_copy(update={"states": [(state.name, state.size) for state in layout.states()]})


def _added(trunk: Trunk, spec: RlsSpec) -> Learning:
    """Return the learning of the layer inside, whose outputs are added: its first outputs are those of the network."""
    shapes = dict(trunk.network.parameters)
    return Learning(spec=spec, features=shapes["3.W"][1], outputs=trunk.network.out_size, bias=True, layer=0)


def _check_layers(trunk: Trunk, spec: BpttSpec) -> None:
    known = sorted({int(name.split(".")[0]) + trunk.first for name, _ in trunk.network.parameters})
    for index, number in enumerate(spec.layers or ()):
        if number not in known:
            raise InvalidInput(
                f"layer {number} has no parameters that are learnt",
                pointer=f"/learning/layers/{index}",
                expected=f"one of {', '.join(map(str, known))}",
                actual=str(number),
            )


def _with_defaults(forecast: ForecastSpec | None, spec: RlsSpec | BpttSpec) -> RlsSpec | BpttSpec:
    """Return a specification with defaults that fit a forecast. Raise InvalidInput for a window that is too short."""
    if forecast is None:
        return spec
    update: dict[str, float] = {}
    if "window" not in spec.model_fields_set:
        update["window"] = max(spec.window, forecast.horizon + AFTER)
    elif spec.window < forecast.horizon:
        raise InvalidInput(
            f"the targets of a step are known {forecast.horizon} steps later, and the step has left the window then",
            pointer="/learning/window",
            expected=f"at least {forecast.horizon}, the horizon of the model",
            actual=str(spec.window),
        )
    if isinstance(spec, RlsSpec) and "ridge" not in spec.model_fields_set:
        update["ridge"] = RIDGE
    return spec.model_copy(update=update)

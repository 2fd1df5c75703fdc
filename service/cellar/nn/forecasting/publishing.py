"""Networks with and without a forecast layer: what is published, and what is trained."""

from collections.abc import Mapping

from cellar.engine import Floats, Signal
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.model.layers.readings import ReadingsSpec
from cellar.nn.model.lowering import NetworkBuilder
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec


def with_forecast(spec: NetworkSpec, layer: ForecastSpec) -> NetworkSpec:
    """Return the network with this forecast layer at its end, in place of the one that it has."""
    return spec.model_copy(update={"layers": (*without_forecast(spec).layers, layer)})


def without_forecast(spec: NetworkSpec) -> NetworkSpec:
    """Return the network that is trained: its outputs are in scaled units."""
    last = spec.layers[-1]
    return spec.model_copy(update={"layers": spec.layers[:-1]}) if isinstance(last, ForecastSpec) else spec


def published_weights(network: Network, trained: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return trained weights and the constants of the forecast layer of a network."""
    last = network.layers[-1].name
    constants = {name: value for name, value in network.init(0).items() if name.startswith(f"{last}.")}
    return dict(trained) | (constants if network.forecast is not None else {})


def readings_alone(spec: NetworkSpec) -> NetworkSpec:
    """Return the first layer of a network, which has readings. Scales that a session keeps follow its features."""
    first = spec.layers[0]
    assert isinstance(first, ReadingsSpec)
    return spec.model_copy(update={"layers": (_ScalesSpec(columns=first.columns),)})


class _ScalesSpec(ReadingsSpec):
    """Readings whose outputs are followed by the scales that a session keeps: of each column, then the shifts."""

    def append_to(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Signal:
        """Append the layer."""
        features = super().append_to(network, signal, pointer)
        return (*features, *(network.scales or ()))

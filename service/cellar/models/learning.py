"""Models whose sessions learn while they serve: loads them, and publishes what a session has learnt as a version."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.models.registry import Registry, RunnableModel
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.publishing import readings_alone
from cellar.nn.learning.bptt_network import BpttNetwork, bptt_learning_of, training_of
from cellar.nn.learning.forecast_network import ForecastLearner
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.nn.learning.learnt import Learnt
from cellar.nn.learning.readout_network import ReadoutNetwork, learning_of
from cellar.nn.learning.spec import ADDED, Learning, RlsSpec
from cellar.nn.learning.trunk import Trunk, trunk_learning
from cellar.nn.model.network import Network
from cellar.nn.training.update.trained_parameters import TrainedParameters
from cellar.nn.training.update.weight_vector import joined, named
from cellar.ports import ModelVersion
from cellar.wire.arrays import weights as wire_weights


class LearningModels(Registry):
    """The registry, with what sessions learn. Synchronous and safe to call from several threads."""

    def learning_of(self, version: ModelVersion, learning: str) -> str:
        """Return the learning of the sessions of a version as JSON, given that of another version or of a request.

        Raise InvalidInput if they cannot learn it.
        """
        if self.graph(version) is not None:
            raise InvalidInput(
                f"the model {version.ref} is a graph that is hosted as it is, so its sessions cannot learn",
                pointer="/learning",
                expected="a model of cells",
                actual="a hosted graph",
            )
        network, spec = self.network(version), Learning.spec_of(learning)
        trunk = Trunk.of(network)
        if trunk is not None and (network.forecast is not None or not isinstance(spec, RlsSpec)):
            return trunk_learning(trunk, self.weights(version), spec).text
        found = learning_of(network, spec) if isinstance(spec, RlsSpec) else bptt_learning_of(network, spec)
        return found.text

    def load_learning(self, version: ModelVersion, learning: str) -> RunnableModel:
        """Load a version for sessions that learn. Raise as `load`."""
        loaded = self.load(version)
        assert loaded.shared is not None, "hosted graphs do not learn"
        assert isinstance(loaded.network, BoundNetwork), "as above"
        found = Learning.read(learning)
        network: LearningNetwork
        if found.part:
            network = self._forecast_learner(loaded.network, found, self.weights(version))
        elif isinstance(found.spec, RlsSpec):
            network = ReadoutNetwork(loaded.network, loaded.shared, found, self.kernels)
        else:
            network = BpttNetwork(loaded.network, loaded.shared, found, self.weights(version))
        return replace(loaded, network=network, size_bytes=loaded.size_bytes + network.size_bytes)

    def _forecast_learner(self, bound: BoundNetwork, found: Learning, weights: Mapping[str, Floats]) -> LearningNetwork:
        trunk = Trunk.of(bound.network)
        assert trunk is not None, "its sessions have learnt so before"
        own, compiled, inner = trunk.weights(weights), self.compile(trunk.network), trunk.inner(found)
        learner: LearningNetwork
        if isinstance(found.spec, RlsSpec):
            learner = ReadoutNetwork(compiled.bind(own, inference=True), compiled, inner, self.kernels)
        else:
            learner = BpttNetwork(compiled.bind(own, inference=True), compiled, inner, own)
        readings = None
        if bound.network.readings is not None:
            part = self.compile(Network(readings_alone(bound.network.spec)))
            readings = part.bind({name: weights[name] for name, _ in part.network.parameters}, inference=True)
        return ForecastLearner(bound, found, learner, readings)

    def publish_learnt(self, version: ModelVersion, learnt: Learnt, *, token: str) -> ModelVersion:
        """Publish a version whose last layer has the weights that a session has learnt; idempotent by `token`.

        Raise InvalidInput for weights that are not finite, and as `publish`.
        """
        network = self.network(version)
        weights = _changed(network, self.weights(version), learnt)
        network.check_weights(weights)
        self._admit(version, network.parameter_count)
        losses = learnt.losses()
        metrics = {} if losses is None else dict(zip(("base_loss", "loss"), losses, strict=True))
        data = wire_weights.dump({name: np.array(weights[name], order="C") for name, _ in network.parameters})
        return self.publish(
            version.tenant, version.name, network, data, token=token, parent=version.ref, metrics=metrics
        )


def _changed(network: Network, weights: Mapping[str, Floats], learnt: Learnt) -> dict[str, Floats]:
    """Return weights with the change that a session has learnt."""
    trunk = Trunk.of(network) if learnt.learning.part else None
    if trunk is not None:
        inner = replace(learnt, learning=trunk.inner(learnt.learning))
        own = trunk.weights(weights)
        changed = _with_added(own, inner) if inner.learning.part == ADDED else _changed_whole(trunk.network, own, inner)
        return {**weights, **{trunk.moved(name): values for name, values in changed.items()}}
    return _changed_whole(network, weights, learnt)


def _with_added(weights: Mapping[str, Floats], learnt: Learnt) -> dict[str, Floats]:
    """Return weights of a trunk with a change of the first outputs of the layer inside."""
    features, count = learnt.learning.features, learnt.learning.outputs
    matrix, bias = weights["3.W"].copy(), weights["3.b"].copy()
    matrix[:count] += learnt.delta[:, :features]
    bias[:count] += learnt.delta[:, features]
    return {**weights, "3.W": matrix, "3.b": bias}


def _changed_whole(network: Network, weights: Mapping[str, Floats], learnt: Learnt) -> dict[str, Floats]:
    """Return weights with what was learnt of the whole network."""
    spec, delta = learnt.learning.spec, learnt.delta
    if not isinstance(spec, RlsSpec):
        trained, vector = TrainedParameters(network, training_of(network, spec)), joined(network, weights)
        return named(network, trained.replaced(vector, trained.of(vector) + delta))
    layer, features, found = network.layers[network.output[0]].name, learnt.learning.features, dict(weights)
    found[f"{layer}.W"] = found[f"{layer}.W"] + delta[:, :features]
    if learnt.learning.bias:
        found[f"{layer}.b"] = found[f"{layer}.b"] + delta[:, features]
    return found

"""Models whose sessions learn while they serve: loads them, and publishes what a session has learnt as a version."""

from dataclasses import replace

import numpy as np

from cellar.errors import InvalidInput
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.learning.readout_network import Learnt, ReadoutNetwork, learning_of
from cellar.nn.learning.spec import Learning
from cellar.ports import ModelVersion
from cellar.registry import Registry, RunnableModel
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
        return learning_of(self.network(version), Learning.spec_of(learning)).text

    def load_learning(self, version: ModelVersion, learning: str) -> RunnableModel:
        """Load a version for sessions that learn. Raise as `load`."""
        loaded = self.load(version)
        assert loaded.shared is not None, "hosted graphs do not learn"
        assert isinstance(loaded.network, BoundNetwork), "as above"
        network = ReadoutNetwork(loaded.network, loaded.shared, Learning.read(learning), self.kernels)
        return replace(loaded, network=network, size_bytes=loaded.size_bytes + network.size_bytes)

    def publish_learnt(self, version: ModelVersion, learnt: Learnt, *, token: str) -> ModelVersion:
        """Publish a version whose last layer has the weights that a session has learnt; idempotent by `token`.

        Raise InvalidInput for weights that are not finite, and as `publish`.
        """
        network = self.network(version)
        layer, features = network.layers[network.output[0]].name, learnt.learning.features
        weights = dict(self.weights(version))
        weights[f"{layer}.W"] = weights[f"{layer}.W"] + learnt.delta[:, :features]
        if learnt.learning.bias:
            weights[f"{layer}.b"] = weights[f"{layer}.b"] + learnt.delta[:, features]
        network.check_weights(weights)
        self._admit(version, network.parameter_count)
        losses = learnt.losses()
        metrics = {} if losses is None else dict(zip(("base_loss", "loss"), losses, strict=True))
        data = wire_weights.dump({name: np.ascontiguousarray(weights[name]) for name, _ in network.parameters})
        return self.publish(
            version.tenant, version.name, network, data, token=token, parent=version.ref, metrics=metrics
        )

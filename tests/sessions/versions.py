"""Versions of the exact model, for sessions that come to another one."""

import dataclasses

from cellar.ports import ModelVersion
from tests.sessions.exact import ExactModel, ExactModels, ExactNetwork, Place, Sizes

OTHER = Sizes(states=(Place(0, "other", 3, 0),))
"""The same network, whose states have other names."""


class Versions(ExactModels):
    """Version 1 and 2 have the same states, version 3 has others, version 4 has other inputs."""

    def __init__(self) -> None:
        super().__init__(newest=4)

    def load(self, version: ModelVersion) -> ExactModel:
        """Load a version."""
        model = super().load(version)
        sizes = {3: OTHER, 4: Sizes(in_size=2)}.get(model.version.version)
        return model if sizes is None else dataclasses.replace(model, network=ExactNetwork(network=sizes))

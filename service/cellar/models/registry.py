"""Creates, publishes, loads and deletes models and their versions.

A version is immutable, except for its tags and its description. `name@3` names one version, `name` the newest, and
`name@live` the version of the alias `live`. Weights are stored first, then the version that refers to them, then the
number of the newest version is changed. A crash in between can leave weights to which nothing refers, but never a
version without weights.
"""

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.errors import AlreadyExists, BlobUnknown, CellarError, InvalidInput, ModelUnknown
from cellar.interchange.imported import ImportedNetwork
from cellar.memory.file_mapping import Memory, in_memory, sha256
from cellar.models.index import ModelIndex
from cellar.nn.execution.bf16_error import rounding_error
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.execution.network_cache import NetworkCache
from cellar.nn.forecasting.scores import Scorer
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.onnx_graph.graph_network import GraphNetwork, open_graph
from cellar.onnx_graph.layout import GraphSizes
from cellar.onnx_graph.runtime import runtime_version
from cellar.onnx_graph.spec import ENGINE, HostedGraph
from cellar.ports import MODEL_NAME, MODEL_NAME_IN_WORDS, BlobStore, Clock, ModelStore, ModelVersion
from cellar.wire.arrays import weights as wire_weights

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

_NAME = re.compile(MODEL_NAME)

VERSION_BYTES = 4 * 1024
"""Memory of a loaded version besides its network: what is stored about it, and its queues."""

GRAPH_BYTES = 4 * 1024 * 1024
"""Memory of a loaded graph besides its file."""
GRAPH_FILES = 3.0
"""Memory of a loaded graph for each byte of its file: as it is read, and as operators keep their weights."""


FLOAT_BYTES = 4
"""A graph has at most a parameter for as many bytes of its file."""


class ModelQuota(Protocol):
    """Refuses models beyond the quotas of their tenant."""

    def admit_model(self, tenant: str, parameters: int, is_new: Callable[[], bool]) -> None:
        """Raise QuotaExceeded, Overloaded or StoreUnavailable for a model that may not be made."""


@dataclass(frozen=True, slots=True)
class RunnableModel:
    """A version that is ready to run."""

    version: ModelVersion
    network: BoundNetwork | GraphNetwork | LearningNetwork
    size_bytes: int
    """The memory that it takes, without what it shares."""
    shared: CompiledNetwork | None = None
    """The network without weights, which it shares with other models."""

    @property
    def scorer(self) -> Scorer | None:
        """Scores the readings of its steps; None if they have no score."""
        return Scorer.of(self.network.network) if isinstance(self.network, BoundNetwork) else None


class Registry(ModelIndex):
    """Models of all tenants. Synchronous and safe to call from several threads."""

    def __init__(
        self, models: ModelStore, blobs: BlobStore, cache: KernelCache, clock: Clock, memory: Memory = in_memory
    ) -> None:
        super().__init__(models, clock)
        self._blobs = blobs
        self.memory = memory
        """Where weights are read to before they are packed."""
        self.kernels, self.networks = cache, NetworkCache(cache)
        self.quota: ModelQuota | None = None
        """Refuses models beyond the quotas of their tenant; None: all are taken."""
        self._headers: WeakKeyDictionary[CompiledNetwork, bytes] = WeakKeyDictionary()
        """Of the files of weights of networks."""

    def create(self, tenant: str, name: str, spec: NetworkSpec, seed: int) -> tuple[ModelVersion, bool]:
        """Create a model of a network with random weights from the seed; return its version and whether it is new.

        The same call again returns the same version. Raise AlreadyExists if the name belongs to another model,
        InvalidInput (or CellError) for a name or network that is not allowed, CompileFailed, or StoreUnavailable.
        """
        network = self.networks.network(spec, pointer="/network")
        weights = wire_weights.dump(network.init(seed))
        version = self._version(tenant, name, *_stored(network), weights)
        self._admit(version, network.parameter_count)
        # Compiling it now refuses a model that cannot be loaded when it is created, not when it is first used.
        version = replace(version, metrics=self._rounding_error(self.compile(network), weights))
        try:
            return self._put(weights, lambda: self._models.create(version))
        except AlreadyExists:
            self.forget_weights(version.weights)
            raise

    def publish_imported(
        self, tenant: str, name: str, imported: ImportedNetwork, *, metrics: Mapping[str, float]
    ) -> tuple[ModelVersion, bool]:
        """Store a network with its weights as the newest version of a name; return it and whether it is new.

        Nothing is stored if the newest version already has this network and these weights. Raise InvalidInput
        (CellError among them) for a name or network that cannot be, CompileFailed, BodyTooLarge or
        StoreUnavailable.
        """
        network = self.networks.network(imported.spec, pointer="/network")
        weights = imported.stored()
        if (same := self._newest_same(self._version(tenant, name, *_stored(network), weights))) is not None:
            return same, False
        self._admit(self._version(tenant, name, *_stored(network), b""), network.parameter_count)
        self.compile(network)
        origin, token = dict(imported.origin) or None, uuid.uuid4().hex
        return self.publish(tenant, name, network, weights, token=token, metrics=metrics, origin=origin), True

    def publish_graph(
        self, tenant: str, name: str, graph: HostedGraph, data: bytes, *, metrics: Mapping[str, float]
    ) -> tuple[ModelVersion, bool]:
        """Store a graph of ONNX, which is hosted as it is, as `publish_imported` stores a network."""
        version = self._version(tenant, name, *_stored(graph), data)
        if (same := self._newest_same(version)) is not None:
            return same, False
        self._admit(version, len(data) // FLOAT_BYTES)
        origin = {"framework": "onnx", "published_with": runtime_version()}
        version, token = replace(version, metrics=dict(metrics), origin=origin), uuid.uuid4().hex
        return self._put(data, lambda: self._models.add(version, token=token)), True

    def _admit(self, version: ModelVersion, parameters: int) -> None:
        """Raise QuotaExceeded or Overloaded if the tenant may have no such model."""
        if self.quota is not None:
            names = self._models.names
            self.quota.admit_model(version.tenant, parameters, lambda: version.name not in names(version.tenant))

    def _newest_same(self, version: ModelVersion) -> ModelVersion | None:
        """Return the newest version of its name if it has the same digest, else None."""
        with suppress(ModelUnknown):
            newest = self._models.get(version.tenant, version.name)
            return newest if newest.digest == version.digest else None
        return None

    def publish(
        self,
        tenant: str,
        name: str,
        network: Network,
        weights: bytes | memoryview,
        *,
        token: str,
        parent: str | None = None,
        metrics: Mapping[str, float] | None = None,
        origin: dict[str, Any] | None = None,
    ) -> ModelVersion:
        """Store weights (a safetensors file) of a network as the newest version of a model; idempotent by `token`."""
        measured = dict(metrics or {})
        if network.spec.weight_storage == "bfloat16":
            measured |= self._rounding_error(self.compile(network), weights)
        if origin is None and parent is not None:
            origin = self._inherited_origin(tenant, parent, network)
        version = self._version(tenant, name, *_stored(network), weights)
        version = replace(version, parent=parent, metrics=measured, origin=origin)
        return self._put(weights, lambda: self._models.add(version, token=token))

    def _inherited_origin(self, tenant: str, parent: str, network: Network) -> dict[str, Any] | None:
        """Return the origin of the version that weights were trained from, if its network is the same."""
        with suppress(ModelUnknown):
            version = self.get(tenant, parent)
            return version.origin if self.network(version).digest == network.digest else None
        return None

    def _rounding_error(self, compiled: CompiledNetwork, weights: bytes | memoryview) -> dict[str, float]:
        """Return the metrics of the error that bfloat16 storage causes; none with float32 storage."""
        if compiled.network.spec.weight_storage == "float32":
            return {}
        return rounding_error(compiled, wire_weights.load(weights))

    def _version(
        self, tenant: str, name: str, document: dict[str, Any], digest: str, weights: bytes | memoryview
    ) -> ModelVersion:
        """Return a version without its number, which is 0, of a network as JSON and its digest."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"not a name for a model: {name[:128]!r}",
                pointer="/name",
                expected=MODEL_NAME_IN_WORDS,
                actual=name[:128],
            )
        blob = sha256(weights)
        return ModelVersion(
            tenant=tenant,
            name=name,
            version=0,
            digest=hashlib.sha256(f"{digest} {blob}".encode()).hexdigest(),
            network=document,
            weights=blob,
            created_s=self._clock.now_s(),
        )

    def _put(self, weights: bytes | memoryview, refer: Callable[[], Result]) -> Result:
        """Store weights, then run `refer`, which stores a reference to them; return its result."""
        self._blobs.put(weights)
        answer = refer()
        self._blobs.put(weights)  # again, in case they were deleted in between: see `forget_weights`
        return answer

    def uses(self, tenant: str, name: str) -> int:
        """Return a counter that grows whenever something begins to depend on a model."""
        return self._models.uses(tenant, name)

    def delete(self, tenant: str, name: str, version: int | None = None, *, uses: int | None = None) -> bool:
        """Delete a version or a model, with the weights that nothing else uses. Raise ModelUnknown.

        With `uses`, it is deleted only if the counter of `uses()` still has this value; return whether it was
        deleted. The caller must then mark what depends on the versions, and call `forget` for each.
        """
        unused = self._models.delete(tenant, name, version, uses=uses)
        for digest in unused or ():
            self.forget_weights(digest)
        return unused is not None

    def deleted(self, tenant: str) -> Sequence[ModelVersion]:
        """Return the deleted versions for which `forget` has not been called."""
        return self._models.deleted(tenant)

    def deleted_network(self, tenant: str, ref: str) -> Network | GraphSizes | None:
        """Return the sizes of a deleted version for which `forget` has not been called, else None."""
        return next((self.sizes(version) for version in self.deleted(tenant) if version.ref == ref), None)

    def forget(self, version: ModelVersion) -> None:
        """Note that everything that depends on a deleted version is marked."""
        self._models.forget(version)

    def sizes(self, version: ModelVersion) -> Network | GraphSizes:
        """Return the network of a version without weights, or the sizes of its graph."""
        graph = self.graph(version)
        return self.network(version) if graph is None else GraphSizes(graph)

    def graph(self, version: ModelVersion) -> HostedGraph | None:
        """Return the graph of a version that ONNX Runtime hosts, None for a network of cells."""
        if version.network.get("engine") != ENGINE:
            return None
        return HostedGraph.model_validate_json(json.dumps(version.network))

    def network(self, version: ModelVersion) -> Network:
        """Return the network of a version, without weights. Raise InvalidInput for a graph that is hosted as it is."""
        if version.network.get("engine") == ENGINE:
            raise InvalidInput(
                f"the model {version.ref} is a graph that {ENGINE} runs, which has no layers to train",
                expected="a model of cells",
                actual=ENGINE,
            )
        return self.networks.stored(version.network)

    def compile(self, network: Network) -> CompiledNetwork:
        """Return the network with its kernels, which all versions of it share. Raise CompileFailed."""
        return self.networks.compile(network)

    def weights(self, version: ModelVersion) -> dict[str, NDArray[np.float32]]:
        """Return the weights of a version. Raise ModelUnknown if they are gone, StoreCorrupt or StoreUnavailable."""
        return wire_weights.load(self.weights_file(version))

    def load(self, version: ModelVersion) -> RunnableModel:
        """Load a version so that it can be run. Not cached here, except for what versions of a network share.

        Raise ModelUnknown if its weights were deleted, CompileFailed, or StoreUnavailable.
        """
        data = self.weights_file(version)
        if (graph := self.graph(version)) is not None:
            hosted = open_graph(graph, bytes(data))
            return RunnableModel(version, hosted, GRAPH_BYTES + int(GRAPH_FILES * len(data)))
        compiled = self.compile(self.network(version))
        bound = self._bound(compiled, data)
        _ = bound.advance  # made now, and not by the first step
        if version.network == compiled.network.document:
            version = replace(version, network=compiled.network.document)  # one object for all versions of the network
        return RunnableModel(version, bound, VERSION_BYTES + bound.size_bytes, compiled)

    def _bound(self, compiled: CompiledNetwork, data: memoryview) -> BoundNetwork:
        """Return the network with the weights of a file, those of a small one packed at once."""
        packing = self.networks.packing(compiled)
        if packing is not None:
            header = self._headers.get(compiled)
            if header is None:
                header = self._headers[compiled] = wire_weights.header(dict(compiled.network.parameters))
            flat = wire_weights.numbers(data, header)
            if flat is not None and flat.size == compiled.network.parameter_count:
                return packing.bind(compiled, flat)
        return compiled.bind(wire_weights.load(data), inference=True)

    def weights_file(self, version: ModelVersion) -> memoryview:
        """Return the weights of a version as they are stored, a safetensors file. Raise as `weights`."""
        try:
            return self._blobs.read(version.weights, self.memory)
        except BlobUnknown as error:
            raise ModelUnknown(f"the model {version.ref!r} was deleted") from error

    def forget_weights(self, digest: str) -> None:
        """Delete weights unless a version refers to them. If they cannot be deleted, log a warning.

        A version with the same weights may be published at the same time. Therefore a publisher stores the weights
        again after its version, and this method checks for versions again after the deletion and restores the weights.
        """
        try:
            if self._models.refers(digest):
                return
            with suppress(BlobUnknown):
                data = self._blobs.get(digest)
                self._blobs.delete(digest)
                if self._models.refers(digest):
                    self._blobs.put(data)
        except CellarError as error:
            logger.warning("unused weights %s could not be deleted: %s", digest, error)


def _stored(network: Network | HostedGraph) -> tuple[dict[str, Any], str]:
    """Return a network or a graph as the JSON that a version stores, and its digest."""
    if isinstance(network, Network):
        return network.document, network.digest
    return network.model_dump(mode="json", exclude_none=True), network.digest

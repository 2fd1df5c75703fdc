"""The networks that a process has checked and compiled, which all versions of a network share."""

import json
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from cellar.engine import KernelCache
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network, document_of
from cellar.nn.model.spec import NetworkSpec


class NetworkCache:
    """Networks by their JSON, as long as something holds them, and the one that was compiled last.

    Two threads may both compile a network, which gives the same kernels; the later one is kept. Safe to share by
    threads.
    """

    def __init__(self, kernels: KernelCache) -> None:
        self._kernels = kernels
        self._networks: WeakValueDictionary[str, Network] = WeakValueDictionary()
        self._compiled: WeakValueDictionary[str, CompiledNetwork] = WeakValueDictionary()
        self._last: CompiledNetwork | None = None
        """Held so that models of one network that are published one after the other are compiled once."""

    def network(self, spec: NetworkSpec, *, pointer: str = "") -> Network:
        """Return the network of a specification. Raise InvalidInput or CellError, with a pointer that begins so."""
        return self._network(_text(document_of(spec)), spec, pointer)

    def stored(self, document: Mapping[str, Any]) -> Network:
        """Return the network of the JSON that a version stores."""
        text = _text(document)
        return self._networks.get(text) or self._network(text, NetworkSpec.model_validate_json(text))

    def compile(self, network: Network) -> CompiledNetwork:
        """Return the network with its kernels. Raise CompileFailed."""
        text = _text(network.document)
        compiled = self._compiled.get(text)
        if compiled is None:
            compiled = self._compiled[text] = CompiledNetwork(network, self._kernels)
        self._last = compiled
        return compiled

    def _network(self, text: str, spec: NetworkSpec, pointer: str = "") -> Network:
        network = self._networks.get(text)
        if network is None:
            network = self._networks[text] = Network(spec, pointer=pointer)
        return network


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)

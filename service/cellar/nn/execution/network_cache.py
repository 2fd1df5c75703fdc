"""The networks that a process has checked and compiled, which all versions of a network share."""

import hashlib
import json
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from cellar.engine import KernelCache, kernel_texts
from cellar.errors import CellarError
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.execution.packing import Packing
from cellar.nn.model.network import Network, document_of
from cellar.nn.model.spec import NetworkSpec

KEPT_BYTES = 8 * 1024 * 1024
"""Memory of compiled networks that are kept although no loaded model has them: dozens of small ones."""

RECALL_S = 0.25
"""The longest time in which a process compiles networks when it starts: 4 ms each."""

SUFFIX = ".network"


class NetworkCache:
    """Networks by their JSON, as long as something holds them, and those that were compiled last.

    The JSON of each stands in the directory of kernels, so that a process that starts compiles them before its first
    step. Two threads may both compile a network, which gives the same kernels; the later one is kept. Safe to share by
    threads.
    """

    def __init__(self, kernels: KernelCache) -> None:
        self._kernels = kernels
        self._networks: WeakValueDictionary[str, Network] = WeakValueDictionary()
        self._compiled: WeakValueDictionary[str, CompiledNetwork] = WeakValueDictionary()
        self._packings: WeakKeyDictionary[CompiledNetwork, Packing] = WeakKeyDictionary()
        self._kept: OrderedDict[str, CompiledNetwork] = OrderedDict()

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
            self._note(text)
            self._keep(text, compiled)
        return compiled

    def packing(self, compiled: CompiledNetwork) -> Packing | None:
        """Return how the weights of a small network are packed at once, None for others."""
        packing = self._packings.get(compiled)
        if packing is None and Packing.fits(compiled.network):
            packing = self._packings[compiled] = Packing(compiled)
            compiled.packing_bytes = packing.size_bytes
        return packing

    def recall(self) -> int:
        """Compile the networks that were compiled last, here or in another process; return how many.

        Only if all of their kernels are in the directory.
        """
        end_s, count = time.monotonic() + RECALL_S, 0
        for path in self._noted():
            if time.monotonic() > end_s:
                break
            with suppress(OSError, ValueError, CellarError):  # of an older release, or damaged
                network = self.stored(json.loads(path.read_text("utf-8")))
                if self._kernels.has(kernel_texts([layer.cell for layer in network.layers])):
                    self.packing(self.compile(network))
                    count += 1
        return count

    def _network(self, text: str, spec: NetworkSpec, pointer: str = "") -> Network:
        network = self._networks.get(text)
        if network is None:
            network = self._networks[text] = Network(spec, pointer=pointer)
        return network

    def _keep(self, text: str, compiled: CompiledNetwork) -> None:
        self._kept[text] = compiled
        while sum([each.size_bytes for each in [*self._kept.values()]]) > KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def _note(self, text: str) -> None:
        """Write the JSON of a network to the directory of kernels, or note that it was used now."""
        directory = self._kernels.directory
        if directory is None:
            return
        path = directory / f"{hashlib.sha256(text.encode()).hexdigest()}{SUFFIX}"
        with suppress(OSError):  # a directory that is read only, or full
            if path.exists():
                os.utime(path)
            else:
                path.write_text(text, "utf-8")

    def _noted(self) -> Iterator[Path]:
        """Yield the files of networks, the one that was used last first."""
        found = [] if self._kernels.directory is None else [*self._kernels.directory.glob(f"*{SUFFIX}")]
        used: list[tuple[int, Path]] = []
        for path in found:
            with suppress(OSError):
                used.append((path.stat().st_mtime_ns, path))
        yield from (path for _, path in sorted(used, reverse=True))


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)

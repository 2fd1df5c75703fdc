"""Models and training jobs, with asyncio."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cellar_client.aio.driver import AsyncDriver
from cellar_client.core.catalogue import ENDED, Catalogue, Check, as_array
from cellar_client.core.torch_modules import modules_in
from cellar_client.values import Document


class AsyncModels:
    """The models of a service. A name alone is the newest version, `co2@3` is one version."""

    def __init__(self, catalogue: Catalogue, driver: AsyncDriver) -> None:
        self._catalogue = catalogue
        self._driver = driver

    async def create(self, name: str, network: Mapping[str, Any], seed: int = 0) -> Document:
        """Create a model with weights drawn from a seed. The same creation again returns the existing model."""
        return await self._driver.run(self._catalogue.create_model(name, network, seed))

    async def publish(
        self, name: str, network: Mapping[str, Any], weights: Mapping[str, Any], check: Check | None = None
    ) -> Document:
        """Publish a network with its weights, by Cellar's names, as the next version of a model.

        `check` is a pair of inputs and of outputs that are compared before anything is published.
        """
        return await self._driver.run(self._catalogue.publish(name, network, weights, check))

    async def import_torch(
        self,
        name: str,
        module: Any,
        modules: Sequence[str] | None = None,
        *,
        ignore: Sequence[str] = (),
        check: Check | None = None,
    ) -> Document:
        """Publish a module of PyTorch, or its state dict, as the next version of a model.

        `modules` names what `forward` calls, in order, with functions where they stand: ["lstm", "relu", "head"]. A
        recurrent module, and a Sequential of such, of linear layers and of functions, needs none. `ignore` are the
        beginnings of names of tensors that are left out.
        """
        if hasattr(module, "state_dict"):
            modules = list(modules_in(module)) if modules is None else modules
            module = module.state_dict()
        tensors = {key: as_array(value) for key, value in module.items()}
        return await self._driver.run(self._catalogue.publish_state_dict(name, tensors, modules, ignore, check))

    async def import_file(
        self,
        name: str,
        path: str | os.PathLike[str],
        modules: Sequence[str] | None = None,
        *,
        ignore: Sequence[str] = (),
    ) -> Document:
        """Publish a .safetensors or .json file, or one of `torch.save`, which needs PyTorch here, as the next version.

        `modules` and `ignore` are those of `import_torch`, for files that hold a state dict.
        """
        return await self._driver.run(self._catalogue.import_file(name, Path(path), modules, ignore))

    async def get(self, model: str) -> Document:
        """Read a model."""
        return await self._driver.run(self._catalogue.read_model(model))

    async def list(self) -> list[Document]:
        """List all models with their versions."""
        return await self._driver.run(self._catalogue.list_models())

    async def weights(self, model: str, names: str = "cellar") -> dict[str, Any]:
        """Return the weights of a version as arrays by name, Cellar's or those of `torch`."""
        return await self._driver.run(self._catalogue.weights(model, names))

    async def export(self, model: str, format: str = "safetensors") -> bytes:  # noqa: A002 - the parameter of the API
        """Return a version as a file: `safetensors`, `torch`, `json` or `onnx`."""
        return await self._driver.run(self._catalogue.export(model, format))

    async def delete(self, model: str, *, force: bool = False) -> None:
        """Delete a model with all its versions."""
        await self._driver.run(self._catalogue.delete_model(model, force=force))


class AsyncJob:
    """A training job. `Client.train` and `Client.job` return one; `document` is its present form."""

    def __init__(self, document: Document, catalogue: Catalogue, driver: AsyncDriver) -> None:
        self.document = document
        self._catalogue = catalogue
        self._driver = driver

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`."""
        return str(self.document["state"])

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in ENDED

    async def follow(self) -> AsyncIterator[Document]:
        """Yield the job each time that its state or progress changes, until it has ended."""
        yield self.document
        while not self.ended:
            self.document = await self._driver.run(self._catalogue.await_change(self.document))
            yield self.document

    async def wait(self) -> str:
        """Wait until the job has ended, and return the version that it has published. Raise JobFailed."""
        async for _ in self.follow():
            pass
        return self._catalogue.result(self.document)

    async def cancel(self) -> Document:
        """End the job."""
        self.document = await self._driver.run(self._catalogue.cancel(self.document["job"]))
        return self.document

"""Models: created, published with weights, imported, read, described and deleted, and aliases of their versions."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from cellar_client.arrays import safetensors
from cellar_client.arrays.inputs import as_floats
from cellar_client.catalogue.backtests import body_of
from cellar_client.catalogue.files import network_of_file, parts_of_file, read_torch_file
from cellar_client.catalogue.torch_modules import modules_in
from cellar_client.core.effects import Content, Emission, Emit, Operation, Request
from cellar_client.core.exchange import call, exchange, given
from cellar_client.documents import (
    AliasDocument,
    BacktestDocument,
    Document,
    ModelDocument,
    ModelLineDocument,
    VersionDocument,
)


class Check(NamedTuple):
    """Inputs (T, F) or (T, B, F), and the outputs that the original network computed for them."""

    inputs: Any
    outputs: Any
    tolerance: float | None = None
    """The largest allowed difference; 1e-5 by default."""


Checked = Check | tuple[Any, Any]


class ModelsCore:
    """The models of a service."""

    def __init__(self, give_up_s: float) -> None:
        self.give_up_s = give_up_s

    def create(self, name: str, network: Mapping[str, Any], seed: int = 0) -> Operation[ModelDocument]:
        """Create a model with weights drawn from a seed. The same creation again returns the existing model."""
        body = {"name": name, "network": network, "seed": seed}
        return call("POST", "/v1/models", body, give_up_s=self.give_up_s)

    def publish(
        self, name: str, network: Mapping[str, Any], weights: Mapping[str, Any], check: Checked | None = None
    ) -> Operation[ModelDocument]:
        """Publish a network with its weights, by Cellar's names, as the next version of a model.

        `check` has inputs and the outputs of the original network, which are compared before anything is published.
        """
        return (yield from self._publish(name, weights, check, {}, {"network": json.dumps(network)}))

    def import_torch(
        self,
        name: str,
        module: Any,
        modules: Sequence[str] | None = None,
        *,
        ignore: Sequence[str] = (),
        check: Checked | None = None,
    ) -> Operation[ModelDocument]:
        """Publish a module of PyTorch, or its state dict, as the next version of a model.

        `modules` names what `forward` calls, in order, with functions where they stand: ["lstm", "relu", "head"]. A
        recurrent module, and a Sequential of such, of linear layers and of functions, needs none. `ignore` are the
        beginnings of names of tensors that are left out. `check` has inputs and the outputs of the original network,
        which are compared before anything is published.
        """
        if hasattr(module, "state_dict"):
            modules = list(modules_in(module)) if modules is None else modules
            module = module.state_dict()
        params = {"names": "torch", **_names(modules, ignore)}
        return (yield from self._publish(name, module, check, params, {}))

    def import_file(
        self,
        name: str,
        path: str | os.PathLike[str],
        modules: Sequence[str] | None = None,
        *,
        ignore: Sequence[str] = (),
    ) -> Operation[ModelDocument]:
        """Publish a file as the next version of a model.

        A .safetensors file and the .json file of `export` are sent as they are. A file of `torch.save` (.pt, .pth,
        .bin, .ckpt) needs PyTorch in this process. Files of Keras (.keras, .h5), ONNX and Flux (.npz) need the package
        `cellar` of the service in this process; the command `cellar import` reads the same files. `modules` and
        `ignore` are those of `import_torch`, for files that hold a state dict.
        """
        file, params = Path(path), _names(modules, ignore)
        kind = file.suffix.lower()
        if kind in (".pt", ".pth", ".bin", ".ckpt"):
            return (yield from self._publish(name, read_torch_file(file), None, {"names": "torch", **params}, {}))
        if kind == ".json":  # as `export` writes it, with a name that this one replaces
            document: Document = {key: value for key, value in json.loads(file.read_bytes()).items() if key != "name"}
            published: ModelDocument = yield from call("PUT", _path(name), document, give_up_s=self.give_up_s)
            return published
        if kind == ".safetensors":
            return (yield from self._upload(name, lambda: parts_of_file(file), params))
        return (yield from self._upload(name, network_of_file(file, modules, ignore), {}))

    def host_graph(
        self, name: str, path: str | os.PathLike[str], options: Mapping[str, Any] | None = None
    ) -> Operation[ModelDocument]:
        """Publish a step graph of ONNX, which the service hosts as it is, as the next version of a model.

        `options` say what the graph does not tell: `states`, `shapes`, `constants`, `outputs`, `example` and
        `micro_batches`. The answer lists under `graph` what was found.
        """
        params = {"engine": "onnxruntime", "graph": json.dumps(dict(options or {}))}
        return (yield from self._upload(name, lambda: parts_of_file(Path(path)), params, "application/onnx"))

    def get(self, model: str) -> Operation[ModelDocument]:
        """Read a version: `co2` is the newest, `co2@3` is one version."""
        return call("GET", _path(model), give_up_s=self.give_up_s)

    def versions(self, name: str) -> Operation[Sequence[VersionDocument]]:
        """List the versions of a model, oldest first. Raise ModelUnknown."""
        found: list[VersionDocument] = []
        cursor: str | None = None
        while cursor != "":
            path, params = _path(name, "versions"), {"cursor": cursor}
            page = yield from call("GET", path, params=params, give_up_s=self.give_up_s)
            found += page["versions"]
            cursor = page["cursor"]
        return found

    def backtest(
        self,
        model: str,
        dataset: str,
        horizon: int | None = None,
        *,
        stride: int | None = None,
        start: float | None = None,
        quantiles: Sequence[float] | None = None,
        paths: int | None = None,
        seed: int | None = None,
        period: int | None = None,
        inputs: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
    ) -> Operation[BacktestDocument]:
        """Forecast a dataset from many origins, and compare with what came then and with naive forecasts.

        `start` is the share of each series before the first forecast, `stride` the rows between two. `inputs` and
        `targets` name columns for a model that does not.
        """
        settings = {"stride": stride, "start": start, "paths": paths, "seed": seed, "period": period}
        body = body_of(dataset, horizon, settings | {"quantiles": quantiles, "inputs": inputs, "targets": targets})
        found: BacktestDocument = yield from call("POST", _path(model, "backtest"), body, give_up_s=self.give_up_s)
        return found

    def describe(
        self, model: str, *, tags: Sequence[str] | None = None, description: str | None = None
    ) -> Operation[ModelDocument]:
        """Replace the tags of a version, its description, or both. An empty description removes it."""
        body = given(tags=None if tags is None else [*tags], description=description)
        return call("PATCH", _path(model), body, give_up_s=self.give_up_s)

    def weights(self, model: str, names: str = "cellar") -> Operation[dict[str, Any]]:
        """Return the weights of a version as arrays by name, Cellar's or those of `torch`."""
        request = Request("GET", _path(model, "weights"), params={"names": names})
        return safetensors.load((yield from exchange(request, self.give_up_s)).content)

    def export(self, model: str, format: str = "safetensors") -> Operation[bytes]:  # noqa: A002 - the API's parameter
        """Return a version as a file: `safetensors`, `torch`, `json` or `onnx`."""
        request = Request("GET", _path(model, "export"), params={"format": format})
        return (yield from exchange(request, self.give_up_s)).content

    def delete(self, model: str, *, force: bool = False) -> Operation[None]:
        """Delete a model, `co2`, or a version, `co2@3`. Raise ModelInUse if something depends on it, unless forced."""
        yield from call("DELETE", _path(model), params={"force": force or None}, give_up_s=self.give_up_s)

    def aliases(self, name: str) -> Operation[Sequence[AliasDocument]]:
        """List the aliases of a model by name."""
        page = yield from call("GET", _path(name, "aliases"), give_up_s=self.give_up_s)
        found: Sequence[AliasDocument] = page["aliases"]
        return found

    def move_alias(
        self, name: str, alias: str, version: int, *, expected: int | None = None
    ) -> Operation[AliasDocument]:
        """Let an alias name a version: `co2@live` is that version from then on, also for sessions that follow it.

        `expected` moves it only if it names that version now, and with 0 only if it does not exist. Raise AliasMoved.
        """
        body = {"version": version} | ({} if expected is None else {"expected": expected or None})
        return call("PUT", _path(name, "aliases", alias), body, give_up_s=self.give_up_s)

    def alias(self, name: str, alias: str) -> Operation[AliasDocument]:
        """Return the version that an alias names."""
        return call("GET", _path(name, "aliases", alias), give_up_s=self.give_up_s)

    def delete_alias(self, name: str, alias: str, *, expected: int | None = None) -> Operation[None]:
        """Delete an alias, with `expected` only if it names that version. Its sessions stay where they are."""
        path, params = _path(name, "aliases", alias), {"expected": expected}
        yield from call("DELETE", path, params=params, give_up_s=self.give_up_s)

    def list(
        self, *, prefix: str | None = None, tag: str | None = None, alias: str | None = None
    ) -> Emission[ModelLineDocument]:
        """Yield the models by name, page by page, each with its versions, or with those that a tag or alias selects."""
        cursor: str | None = ""
        while cursor is not None:
            page = yield from self._page(prefix=prefix, tag=tag, alias=alias, cursor=cursor or None)
            for model in page["models"]:
                yield Emit(model)
            cursor = page["cursor"] or None

    def _page(self, **params: Any) -> Operation[Document]:
        return call("GET", "/v1/models", params=params, give_up_s=self.give_up_s)

    def _publish(
        self,
        name: str,
        tensors: Mapping[str, Any],
        check: Checked | None,
        params: Mapping[str, str],
        metadata: Mapping[str, str],
    ) -> Operation[ModelDocument]:
        """Publish tensors as a safetensors file."""
        found = {key: as_floats(as_numpy(value)) for key, value in tensors.items()}
        if check is not None:
            inputs, outputs, tolerance = Check(*check)
            found |= {"check.inputs": as_floats(as_numpy(inputs)), "check.outputs": as_floats(as_numpy(outputs))}
            params = {**params, **given(tolerance=None if tolerance is None else repr(tolerance))}
        return (yield from self._upload(name, safetensors.dump(found, metadata), params))

    def _upload(
        self, name: str, content: Content, params: Mapping[str, str], media_type: str = safetensors.MEDIA_TYPE
    ) -> Operation[ModelDocument]:
        """Publish a file."""
        request = Request("PUT", _path(name), content, {"Content-Type": media_type}, params)
        reply = yield from exchange(request, self.give_up_s)
        document: ModelDocument = json.loads(reply.content)
        return document


def as_numpy(tensor: Any) -> Any:
    """Return a tensor of PyTorch, of any floating-point type and device, as a NumPy array; other values as they are."""
    return tensor.detach().cpu().float().numpy() if hasattr(tensor, "detach") else tensor


def _path(model: str, *rest: str) -> str:
    """Return the path of a model or version, or of something below it."""
    return "/".join(("/v1/models", *(quote(part, safe="@") for part in (model, *rest))))


def _names(modules: Sequence[str] | None, ignore: Sequence[str]) -> dict[str, str]:
    return given(modules=",".join(modules) if modules is not None else None, ignore=",".join(ignore) or None)

"""Models and jobs: requests of the catalogue, once each."""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cellar_client.arrays import safetensors
from cellar_client.arrays.inputs import as_floats
from cellar_client.core.effects import Operation, Pause, Request
from cellar_client.core.exchange import call, exchange
from cellar_client.errors import JobFailed
from cellar_client.values import Document

ENDED = ("succeeded", "failed", "cancelled")
MEDIA_TYPES = {".safetensors": safetensors.MEDIA_TYPE, ".json": "application/json"}
POLL_S = 0.5
"""Pause between two readings of a job."""

Check = tuple[Any, Any]
"""Inputs (T, F) or (T, B, F), and the outputs that the original network computed for them."""


def model_path(model: str, *rest: str) -> str:
    """Return the path of a model or version, or of something below it."""
    return "/".join(("/v1/models", quote(model, safe="@"), *rest))


class Catalogue:
    """Operations on models and jobs."""

    def __init__(self, give_up_s: float) -> None:
        self.give_up_s = give_up_s

    def create_model(self, name: str, network: Mapping[str, Any], seed: int) -> Operation[Document]:
        """Create a model with weights drawn from a seed."""
        body = {"name": name, "network": network, "seed": seed}
        return (yield from call("POST", "/v1/models", body, give_up_s=self.give_up_s))

    def publish(
        self, name: str, network: Mapping[str, Any], weights: Mapping[str, Any], check: Check | None
    ) -> Operation[Document]:
        """Publish a network with its weights, by Cellar's names."""
        return (yield from self.upload(name, _file_of(weights, check, {"network": json.dumps(network)})))

    def publish_state_dict(
        self,
        name: str,
        tensors: Mapping[str, Any],
        modules: Sequence[str] | None,
        ignore: Sequence[str],
        check: Check | None,
    ) -> Operation[Document]:
        """Publish a state dict of PyTorch."""
        params = {"names": "torch"}
        params |= {} if modules is None else {"modules": ",".join(modules)}
        params |= {"ignore": ",".join(ignore)} if ignore else {}
        return (yield from self.upload(name, _file_of(tensors, check, {}), params))

    def upload(
        self, name: str, content: bytes, params: Mapping[str, str] | None = None, media_type: str | None = None
    ) -> Operation[Document]:
        """Publish a file, a safetensors file unless told otherwise."""
        headers = {"Content-Type": media_type or safetensors.MEDIA_TYPE}
        request = Request("PUT", model_path(name), content, headers, params or {})
        reply = yield from exchange(request, self.give_up_s)
        document: Document = json.loads(reply.content)
        return document

    def import_file(
        self, name: str, path: Path, modules: Sequence[str] | None, ignore: Sequence[str]
    ) -> Operation[Document]:
        """Publish a file. Raise ValueError for a kind of files that only `cellar import` reads."""
        if path.suffix in (".pt", ".pth", ".bin"):
            return (yield from self.publish_state_dict(name, _read_torch_file(path), modules, ignore, None))
        if path.suffix not in MEDIA_TYPES:
            raise ValueError(f"{path} is not .safetensors, .json, .pt, .pth or .bin: `cellar import` reads other files")
        params = {} if modules is None else {"modules": ",".join(modules)}
        params |= {"ignore": ",".join(ignore)} if ignore else {}
        content = path.read_bytes()
        if path.suffix == ".json":  # as `export` writes it, with a name that this one replaces
            document = {key: value for key, value in json.loads(content).items() if key != "name"}
            content = json.dumps(document).encode()
        return (yield from self.upload(name, content, params, MEDIA_TYPES[path.suffix]))

    def read_model(self, model: str) -> Operation[Document]:
        """Read a version of a model."""
        return (yield from call("GET", model_path(model), give_up_s=self.give_up_s))

    def list_models(self) -> Operation[list[Document]]:
        """List all models."""
        found = yield from call("GET", "/v1/models", give_up_s=self.give_up_s)
        models: list[Document] = found["models"]
        return models

    def delete_model(self, model: str, *, force: bool) -> Operation[None]:
        """Delete a model with all its versions."""
        params = {"force": "true"} if force else {}
        yield from call("DELETE", model_path(model), params=params, give_up_s=self.give_up_s)

    def weights(self, model: str, names: str) -> Operation[dict[str, Any]]:
        """Return the weights of a version by name."""
        params = {"names": names}
        reply = yield from exchange(Request("GET", model_path(model, "weights"), params=params), self.give_up_s)
        return safetensors.load(reply.content)

    def export(self, model: str, form: str) -> Operation[bytes]:
        """Return a version as a file."""
        request = Request("GET", model_path(model, "export"), params={"format": form})
        return (yield from exchange(request, self.give_up_s)).content

    def submit(
        self, model: str, data: Mapping[str, Any], settings: Mapping[str, Any], key: str | None
    ) -> Operation[Document]:
        """Submit a training job."""
        body = {"model": model, "data": _as_lists(data), **settings}
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return (yield from call("POST", "/v1/jobs", body, headers=headers, give_up_s=self.give_up_s))

    def read_job(self, job: str) -> Operation[Document]:
        """Read a job."""
        return (yield from call("GET", f"/v1/jobs/{job}", give_up_s=self.give_up_s))

    def await_change(self, job: Document) -> Operation[Document]:
        """Return a job as soon as its state or its progress is another than in this document."""
        while True:
            found: Document = yield from self.read_job(job["job"])
            if found != job:
                return found
            yield Pause(POLL_S)

    @staticmethod
    def result(job: Document) -> str:
        """Return the version that a job has published. Raise JobFailed."""
        if job["state"] != "succeeded":
            raise JobFailed(job)
        return str(job["result"])

    def cancel(self, job: str) -> Operation[Document]:
        """End a job."""
        return (yield from call("POST", f"/v1/jobs/{job}/cancel", give_up_s=self.give_up_s))


def _read_torch_file(path: Path) -> Mapping[str, Any]:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    tensors: Mapping[str, Any] = found.get("state_dict", found)
    return tensors


def as_array(tensor: Any) -> Any:
    """Return a tensor of PyTorch, of any floating-point type and device, as a NumPy array; other values as they are."""
    return tensor.detach().cpu().float().numpy() if hasattr(tensor, "detach") else tensor


def _file_of(tensors: Mapping[str, Any], check: Check | None, metadata: Mapping[str, str]) -> bytes:
    found = {name: as_floats(as_array(value)) for name, value in tensors.items()}
    if check is not None:
        found |= {"check.inputs": as_floats(as_array(check[0])), "check.outputs": as_floats(as_array(check[1]))}
    return safetensors.dump(found, metadata)


def _as_lists(value: Any) -> Any:
    """Return a document with arrays and tables as lists."""
    if isinstance(value, Mapping):
        return {name: _as_lists(member) for name, member in value.items()}
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    return value.tolist() if hasattr(value, "tolist") else value

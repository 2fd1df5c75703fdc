"""Decodes networks with their weights from bodies: JSON, safetensors, or a form with such a file."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.requests import Request

from cellar.api.decoding.onnx_file import OF_ONNX, read_onnx_file, refuse_options
from cellar.api.errors.validation_errors import invalid_body
from cellar.api.http.body import JSON, body_type, read_model, validated
from cellar.api.http.query_and_headers import read_query, refuse_query
from cellar.api.http.upload import MULTIPART, Upload, receive
from cellar.api.schemas.catalogue.models import (
    CheckRequest,
    ModelRequest,
    NamedUploadQuery,
    UploadForm,
    UploadQuery,
    VersionRequest,
)
from cellar.errors import InvalidInput, MalformedBody
from cellar.interchange.check import TOLERANCE, Check
from cellar.interchange.imported import ImportedNetwork, check_names_and_shapes
from cellar.interchange.safetensors import (
    CHECK,
    Reading,
    is_onnx,
    names_in,
    open_file,
    origin_in,
    read_safetensors,
)
from cellar.memory.file_mapping import Memory, in_memory
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.spec.base import Frozen
from cellar.onnx_graph.publishing.host import GraphFile
from cellar.wire.arrays import tensors
from cellar.wire.arrays.layout import to_tbf
from cellar.wire.arrays.tensor_file import FileSource, TensorFile
from cellar.wire.json.document import decode, pointer_of
from cellar.wire.numbers.numbers import parse_array

OCTETS = "application/octet-stream"
ONNX = "application/onnx"
TYPES = (JSON, tensors.MEDIA_TYPE, MULTIPART, OCTETS, ONNX)


class _Documents(Frozen):
    """The parts of a form, or entries of a file's metadata, that are JSON."""

    network: NetworkSpec | None = None
    check: CheckRequest | None = None


@dataclass(frozen=True, slots=True)
class ModelBody:
    """A body as it has come. `read` reads the weights, which takes a while."""

    name: str | None
    """Of a new model, if the body or query names one."""
    document: VersionRequest | None
    """The body, if it is JSON."""
    file: IO[bytes] | None
    query: UploadQuery
    parts: Mapping[str, bytearray]
    kind: str = JSON
    """The media type."""

    @property
    def has_weights(self) -> bool:
        """Return whether weights came, or only a seed."""
        return self.document is None or self.document.weights is not None

    def read(self, memory: Memory = in_memory) -> tuple[ImportedNetwork | GraphFile, Check | None]:
        """Return the network with its weights in memory of this kind, or a graph to host; and its check.

        Raise MalformedBody, MalformedJson, ImportRefused and other InvalidInput.
        """
        if self.document is not None:
            check = None if self.document.check is None else self.document.check.check()
            return _of_json(self.document), check
        assert self.file is not None
        if self.kind == ONNX or (self.kind != tensors.MEDIA_TYPE and is_onnx(_head(self.file))):
            wanted = _documents(self.parts).check
            return read_onnx_file(self.file, self.query), None if wanted is None else wanted.check()
        refuse_options(self.query, OF_ONNX, "a safetensors file")
        file = open_file(FileSource(self.file.fileno()))
        documents = _documents({**_about(file), **self.parts})
        said = Reading(
            network=documents.network,
            names=self.query.names or names_in(file),
            modules=_listed(self.query.modules),
            ignore=_listed(self.query.ignore) or (),
            origin=origin_in(file),
            memory=memory,
        )
        return read_safetensors(file, said), _check(file, documents, self.query)


@asynccontextmanager
async def read_body(request: Request, *, named: bool) -> AsyncIterator[ModelBody]:
    """Yield the body of a request, by its Content-Type; `named` says whether it may name a new model.

    Raise the errors of `body_type`, `read_model`, `read_query` and `receive`.
    """
    kind = body_type(request.headers.get("content-type", ""), *TYPES)
    if kind == JSON:
        refuse_query(request)
        document: VersionRequest = await read_model(ModelRequest if named else VersionRequest, await request.body())
        name = document.name if isinstance(document, ModelRequest) else None
        yield ModelBody(name, document, None, UploadQuery(), {})
        return
    query: UploadQuery = read_query(NamedUploadQuery if named else UploadQuery, request)
    async with receive(request, kind, file_part="weights") as upload:
        if kind == MULTIPART:
            query = _of_form(query, upload, named=named)
        name = query.name if isinstance(query, NamedUploadQuery) else None
        documents = {part: upload.parts[part] for part in _Documents.model_fields if part in upload.parts}
        yield ModelBody(name, None, upload.file, query, documents, kind)


def _of_form(query: UploadQuery, upload: Upload, *, named: bool) -> UploadQuery:
    """Return the options of a form, from the query and from its parts that are no documents. Raise InvalidInput."""
    known = [name for name in UploadForm.model_fields if named or name != "name"]
    for part in upload.parts:
        if part not in known:
            raise InvalidInput(
                f"the form has a part {part!r}, which is not known",
                pointer=f"/{part}",
                expected=f"one of {', '.join(known)}",
                actual=part,
            )
    if not upload.has_file:
        raise InvalidInput(
            "the form has no weights", pointer="/weights", expected="a safetensors file, or a model of ONNX"
        )
    kind = type(query)
    texts = {
        name: bytes(value).decode("utf-8", "replace").strip()
        for name, value in upload.parts.items()
        if name in kind.model_fields
    }
    try:
        found = kind.model_validate_strings(texts)
    except ValidationError as error:
        raise invalid_body(error.errors(include_url=False), texts, kind) from None
    return query.model_copy(update=found.model_dump(exclude_unset=True))


def _head(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file."""
    return os.pread(file.fileno(), 16, 0)


def _about(file: TensorFile) -> dict[str, bytes]:
    """Return the documents in the metadata of a file."""
    return {name: file.metadata[name].encode() for name in _Documents.model_fields if name in file.metadata}


def _documents(texts: Mapping[str, bytes | bytearray]) -> _Documents:
    document = {name: decode(bytes(text)) for name, text in texts.items()}
    return validated(_Documents, document)


def _listed(text: str | None) -> tuple[str, ...] | None:
    """Return the items of a list that are separated by commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _check(file: TensorFile, documents: _Documents, query: UploadQuery) -> Check | None:
    """Return the expected outputs in a form, or in the metadata or tensors of a file. Raise InvalidInput."""
    if documents.check is not None:
        return documents.check.check()
    names = [f"{CHECK}.{name}" for name in ("inputs", "outputs")]
    present = [name for name in names if name in file]
    if len(present) == 1:
        raise MalformedBody(f"the file has {present[0]!r} alone: a check needs {' and '.join(names)}")
    if not present:
        return None
    inputs, outputs = (_tbf(file, name) for name in names)
    return Check(inputs, outputs, TOLERANCE if query.tolerance is None else query.tolerance)


def _tbf(file: TensorFile, name: str) -> Any:
    """Return a tensor (T, F) or (T, B, F) as (T, B, F). Raise InvalidInput."""
    array = file.read(name)
    if array.ndim not in (2, 3):
        raise InvalidInput(
            f"{name!r} has another number of axes",
            pointer=f"/weights/{name}",
            expected="(T, F) or (T, B, F)",
            actual=str(list(array.shape)),
        )
    return to_tbf(array, "TF" if array.ndim == 2 else "TBF")


def _of_json(document: VersionRequest) -> ImportedNetwork:
    """Return the network of a JSON body, with the weights in it or those of its seed."""
    network = Network(document.network, pointer="/network")
    if document.weights is None:
        return ImportedNetwork(document.network, network.init(document.seed))
    expected = dict(network.parameters)
    found = {name: _array(name, value, expected[name]) for name, value in document.weights.items() if name in expected}
    unknown: dict[str, tuple[int, ...]] = dict.fromkeys(document.weights.keys() - expected.keys(), ())
    check_names_and_shapes(network, {name: array.shape for name, array in found.items()} | unknown)
    return ImportedNetwork(document.network, found)


def _array(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return nested lists with as many axes as a parameter has; one without axes is a number."""
    pointer = pointer_of(["weights", name])
    if shape == ():
        return parse_array([value], pointer=pointer, ndim=1).reshape(())
    return parse_array(value, pointer=pointer, ndim=len(shape))

"""Decodes files of ONNX from bodies: as a network of cells where that is possible, else as a graph that is hosted."""

import os
from collections.abc import Sequence
from typing import IO

from cellar.api.http.body import validated
from cellar.api.schemas.catalogue.models import UploadQuery
from cellar.errors import BodyTooLarge, ImportRefused, InvalidInput
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.onnx import import_onnx
from cellar.nn.spec.base import Frozen
from cellar.onnx_graph.publishing.host import GraphFile, host_graph
from cellar.onnx_graph.spec import ENGINE, GraphOptions
from cellar.wire.json.document import decode

MAX_BYTES = 64 * 1024 * 1024
"""Of a file: it is in memory as a whole."""

OF_ONNX = ("engine", "graph")
OF_SAFETENSORS = ("names", "modules", "ignore", "tolerance")
PLACE = "the file"


class _Options(Frozen):
    """The option `graph` below its own name, so that pointers to faults begin with it."""

    graph: GraphOptions


def read_onnx_file(file: IO[bytes], query: UploadQuery) -> ImportedNetwork | GraphFile:
    """Return the network or graph of a file.

    Raise ImportRefused if it can be neither, MalformedJson or InvalidInput for wrong options, or BodyTooLarge.
    """
    refuse_options(query, OF_SAFETENSORS, "a model of ONNX")
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        raise BodyTooLarge(f"a file of ONNX may have {MAX_BYTES} bytes, this one has {size}")
    options = None
    if query.graph is not None:
        options = validated(_Options, {"graph": decode(query.graph.encode())}).graph
    if query.engine == "cells" and options is not None:
        raise InvalidInput("`graph` is about a graph that is hosted as it is", pointer="/graph", expected="no graph")
    data = os.pread(file.fileno(), size, 0)
    if query.engine == ENGINE or options is not None:
        return GraphFile(host_graph(data, options or GraphOptions(), PLACE), data)
    try:
        return import_onnx(data, PLACE)
    except ImportRefused as error:
        if query.engine == "cells":
            raise
        return _host_instead(data, error)


def _host_instead(data: bytes, reason: ImportRefused) -> GraphFile:
    """Return a graph that cannot be expressed as cells, to be hosted. Raise ImportRefused with both reasons."""
    try:
        return GraphFile(host_graph(data, GraphOptions(), PLACE), data)
    except ImportRefused as error:
        if reason.detail != error.detail:
            error.detail = f"{error.detail} (and it cannot be expressed as cells: {reason.detail})"
        raise


def refuse_options(query: UploadQuery, names: Sequence[str], what: str) -> None:
    """Raise InvalidInput for options that are of another kind of file."""
    for name in names:
        if getattr(query, name) is not None:
            raise InvalidInput(
                f"`{name}` has no meaning for {what}", pointer=f"/{name}", expected="another kind of file"
            )

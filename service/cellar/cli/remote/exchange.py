"""The commands `import` and `export`: files of networks to and from a service."""

import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from cellar.cli.console import Mistake, progress, say, show_json
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service, default_url, path_of

if TYPE_CHECKING:
    from cellar.cli.import_file import Upload

app = typer.Typer()

PART_BYTES = 256 * 1024


class Format(StrEnum):
    """Kinds of files that a version can be read as."""

    SAFETENSORS = "safetensors"
    TORCH = "torch"
    JSON = "json"
    ONNX = "onnx"


ENDINGS = {
    Format.SAFETENSORS: "safetensors",
    Format.TORCH: "torch.safetensors",
    Format.JSON: "json",
    Format.ONNX: "onnx",
}


@app.command(name="import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="model.pt, model.safetensors, model.keras, model.onnx, model.npz ...")
    ],
    name: Annotated[str, typer.Option(help="Of the model; a name that is taken gets its next version.")],
    modules: Annotated[
        str | None, typer.Option(help="PyTorch and Flux: modules in the order of their calls, as lstm,relu,head.")
    ] = None,
    ignore: Annotated[
        str | None, typer.Option(help="PyTorch: beginnings of the names of tensors to leave out.")
    ] = None,
    graph: Annotated[
        str | None, typer.Option(help="ONNX: host the graph as it is, with these options as JSON; {} for none.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Open a session of this name.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write a safetensors file instead of sending anything.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Publish a network from a file of another framework.

    Files of PyTorch need PyTorch beside this command, those of Keras h5py, those of ONNX onnx. No code in them is run.
    """
    from cellar.cli import import_file

    asked = import_file.Import(file, _listed(modules), _listed(ignore) or (), graph)
    if graph is None:
        imported = import_file.read(asked)
        if output is not None:
            imported.save(output)
            found = {"file": str(output), "in_size": imported.spec.in_size, "layers": len(imported.spec.layers)}
            text = f"{output}: {imported.spec.in_size} inputs, {len(imported.spec.layers)} layers"
            return show_json(found) if as_json else say(text)
        upload = import_file.Upload(imported.file(), "application/safetensors")
    else:
        upload = import_file.read_graph(asked)
    with Service(url, api_key) as service:
        model = _publish(service, upload, name)
        if session is not None:
            service.send("POST", "/v1/sessions", json={"session": session, "model": name})
    if as_json:
        return show_json(model)
    return _show(model, url or default_url(), name, session)


@app.command(name="export")
def export_model(
    model: Annotated[str, typer.Argument(help="co2: the newest version; co2@3: one version; co2@live: an alias.")],
    format_: Annotated[Format, typer.Option("--format", help="The kind of file.")] = Format.SAFETENSORS,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, - for standard output; default: MODEL.FORMAT."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write a version of a model to a file."""
    path = output or Path(f"{model}.{ENDINGS[format_]}")
    if str(path) != "-" and path.exists() and not force:
        raise Mistake(f"{path} exists: choose another file with --output, or replace it with --force")
    with Service(url, api_key) as service:
        count = _download(service, model, format_, path)
    if str(path) != "-":
        show_json({"model": model, "file": str(path), "bytes": count}) if as_json else say(f"{path}: {count} bytes")


def _listed(text: str | None) -> tuple[str, ...] | None:
    """Return the items of a list that are separated by commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _publish(service: Service, upload: "Upload", name: str) -> dict[str, Any]:
    """Send a file as a model, and return the model."""
    size = len(upload.content)
    with progress("upload", size) as advance:

        def parts() -> Iterator[bytes]:
            """Yield the parts of the file."""
            for begin in range(0, size, PART_BYTES):
                part = upload.content[begin : begin + PART_BYTES]
                yield part
                advance(len(part))

        headers = {"Content-Type": upload.media_type, "Content-Length": str(size)}
        query = dict(upload.query)
        model: dict[str, Any] = service.send(
            "PUT", path_of("models", name), content=parts(), headers=headers, params=query
        )
    return model


def _show(model: dict[str, Any], url: str, name: str, session: str | None) -> None:
    """Print a model that was published, and the requests with which it is used."""
    say(f"{model['model']}: {model['in_size']} inputs, {model['out_size']} outputs, {model['parameter_count']} weights")
    path, example = f"{url}/v1/sessions", f"[{', '.join(['0'] * min(model['in_size'], 8))}]"
    if session is None:
        say(f"""curl -s {path} --json '{{"session": "{name}-1", "model": "{name}"}}'""")
    if not model["whole_sequences"]:
        step = f"{path}/{quote(session or f'{name}-1', safe='')}/step"
        say(f"""curl -s {step} --json '{{"input": {example}}}'""")


def _download(service: Service, model: str, kind: Format, path: Path) -> int:
    """Write a version to a file, whole or not at all, and return its number of bytes. Raise Mistake."""
    with service.download(path_of("models", model, "export"), {"format": kind.value}) as answer:
        length = answer.headers.get("Content-Length")
        with progress("download", None if length is None else int(length)) as advance:
            if str(path) == "-":
                return _copy(answer.iter_bytes(), sys.stdout.buffer, advance)
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                with part.open("wb") as file:
                    count = _copy(answer.iter_bytes(), file, advance)
                part.replace(path)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise Mistake(f"cannot write {path}: {error.strerror}") from error
    return count


def _copy(parts: Iterator[bytes], file: Any, advance: Any) -> int:
    count = 0
    for part in parts:
        file.write(part)
        advance(len(part))
        count += len(part)
    return count

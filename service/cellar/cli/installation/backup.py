"""The commands `backup` and `restore`: an installation, one tenant, one session or one model, in one file."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellar import __version__
from cellar.cli.console import Mistake, confirm, load_settings, progress, say, show_json
from cellar.cli.options import Json, Yes

if TYPE_CHECKING:
    from cellar.ports import BlobStore
    from cellar.settings import Settings
    from cellar.store.backup.archive import ArchiveReader
    from cellar.store.backup.load import Load

app = typer.Typer()

FORMAT = 1

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the backup.")]


@app.command()
def backup(
    file: File,
    session: Annotated[str | None, typer.Option(help="Only this session, with the models that it needs.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model, with all its versions.")] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Whose session or model it is; without them, all those of this tenant.")
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write all that Cellar keeps in Redis and in the data directory to one file, while services may run.

    Each session is of one moment, and so are models, jobs and API keys; different sessions may be of different moments
    of the run. A job that runs continues from the checkpoint in the backup. Kernels and the job queue are not part of
    it, for they are made again. The file holds secrets, and only this user may read it. It is read again and compared
    with its digest before the command ends.
    """
    if session is not None and model is not None:
        raise Mistake("give --session or --model, not both")
    if file.exists() and not force:
        raise Mistake(f"{file} exists: choose another file, or replace it with --force")
    if tenant is None and (session or model) is not None:
        tenant = "default"
    scope = {"session": session, "model": model, "tenant": tenant}
    header = {
        "format": FORMAT,
        "cellar": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: value for name, value in scope.items() if value is not None},
    }
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        counts = _write(part, header, session, model, tenant)
        _read_to_end(part)
        part.replace(file)
    except OSError as error:
        raise Mistake(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    found = header | {"file": str(file), "bytes": file.stat().st_size, "counts": counts}
    show_json(found) if as_json else say(f"{file}: {_text(counts)}, {found['bytes']} bytes")


@app.command()
def restore(
    file: File,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete first what is there: the installation, or the one session.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Write a backup to the installation of this environment.

    The whole file is checked before anything is written. A backup of an installation needs one without data and without
    running services, or --replace; one of a tenant, session or model is added to what is there, while services may run.
    A service that had seen later steps of a session answers its next step 409 `regressed`, once. Sessions continue with
    the same bits. CELLAR_KEY_PREFIX and CELLAR_BLOB_DIR may differ from those of the backup.
    """
    from cellar.cli.installation.redis import is_served
    from cellar.store.backup.archive import ArchiveReader

    settings = load_settings(quiet=True)
    try:
        with ArchiveReader(file) as archive:
            if archive.header.get("format") != FORMAT:
                raise Mistake(f"{file} was written by a newer version of Cellar ({archive.header.get('cellar')})")
            whole = not {"session", "model", "tenant"} & archive.header.keys()
            if whole and is_served(settings):
                raise Mistake("a service runs on this data directory: stop it, and restore then")
            if replace:
                what = "all data of this installation" if whole else "the sessions of the backup that exist"
                confirm(f"Delete {what}, and write those of {file}?", yes=yes)
            counts = _load(archive, settings, replace=replace, whole=whole)
            header = archive.header
    except OSError as error:
        raise Mistake(f"cannot read {file}: {error.strerror or error}") from error
    show_json(header | {"file": str(file), "counts": counts}) if as_json else say(f"restored {_text(counts)} of {file}")


@contextmanager
def _stores(settings: "Settings") -> "Iterator[tuple[Any, BlobStore, BlobStore, bool]]":
    """Yield a client of the Redis, the blobs, the files of datasets, and whether it is a cluster.

    A private Redis is started meanwhile.
    """
    from cellar.cli.installation.redis import running_redis
    from cellar.store.catalogue.blobs.stores import open_blobs
    from cellar.store.protocol.url import ClusterAddress, parse
    from cellar.store.topology.factory import sync_client

    with running_redis(settings) as url:
        client, prefix = sync_client(url), settings.key_prefix
        blobs = open_blobs(settings.blob_dir, "CELLAR_BLOB_DIR", client, prefix)
        datasets = open_blobs(settings.dataset_directory, "CELLAR_DATASET_DIR", client, prefix)
        try:
            yield client, blobs, datasets, isinstance(parse(url), ClusterAddress)
        finally:
            client.close()


def _write(
    path: Path, header: dict[str, Any], session: str | None, model: str | None, tenant: str | None
) -> dict[str, int]:
    """Write a backup to a new file, and return the numbers of what it holds."""
    from cellar.ports import SessionKey
    from cellar.store.backup.archive import ArchiveWriter
    from cellar.store.backup.dump import Dump

    settings = load_settings(quiet=True)
    with (
        _stores(settings) as (client, blobs, datasets, is_cluster),
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened,
        progress("backup", None) as advance,
    ):
        archive = ArchiveWriter(opened, header)
        dump = Dump(client, settings.key_prefix, blobs, archive, is_cluster, advance, dataset_files=datasets)
        if tenant is not None and session is not None:
            dump.session(SessionKey(tenant, session))
        elif tenant is not None and model is not None:
            dump.model(tenant, model)
        elif tenant is not None:
            dump.tenant(tenant)
        else:
            pepper = settings.data_dir / "pepper"
            if settings.embedded and pepper.exists():
                archive.add([b"pepper", pepper.read_bytes()])
            dump.everything(lambda: _digests(client, settings))
        counts = dict(dump.counts)
        archive.finish({"counts": counts})
        opened.flush()
        os.fsync(opened.fileno())
    return counts


def _digests(client: Any, settings: "Settings") -> Iterable[str]:
    """Yield the digests of all blobs."""
    if settings.blob_dir is not None:
        yield from (each.name for each in settings.blob_dir.glob("??/*") if re.fullmatch("[0-9a-f]{64}", each.name))
        return
    for key in client.scan_iter(match=f"{settings.key_prefix}:{{blob/*}}", count=1000):
        yield from re.findall(r"\{blob/([0-9a-f]{64})\}$", key.decode())


def _read_to_end(path: Path) -> None:
    """Read a backup that was written, and compare it with its digest. Raise StoreCorrupt."""
    from cellar.store.backup.archive import ArchiveReader

    with ArchiveReader(path) as archive:
        for _ in archive.records():
            pass


def _load(archive: "ArchiveReader", settings: "Settings", *, replace: bool, whole: bool) -> dict[str, int]:
    """Write the records of an archive, and return the numbers of what was written. Raise Mistake."""
    from cellar.store.backup.load import Load, delete_everything, keys_with_data

    with _stores(settings) as (client, blobs, datasets, _), progress("restore", None) as advance:
        load = Load(client, settings.key_prefix, blobs, replace, advance, dataset_files=datasets)
        if whole and replace:
            delete_everything(client, settings.key_prefix)
        elif whole and next(keys_with_data(client, settings.key_prefix), None) is not None:
            raise Mistake("this installation has data: --replace deletes them first")
        elif not whole:
            load.make_room(archive.records())
            archive.rewind()
        _add_all(archive, load, settings)
    expected = archive.trailer()["counts"]
    if dict(load.counts) != expected:
        raise Mistake(f"only {_text(load.counts)} of {_text(expected)} were written: repeat it with --replace")
    return dict(load.counts)


def _add_all(archive: "ArchiveReader", load: "Load", settings: "Settings") -> None:
    for record in archive.records():
        if record[0] != b"pepper":
            load.add(record)
        elif settings.embedded:
            _write_pepper(settings.data_dir / "pepper", record[1], replace=load.replace)
    load.flush()


def _write_pepper(path: Path, pepper: bytes, *, replace: bool) -> None:
    """Write the secret of the API keys. Raise Mistake if there is another one."""
    if path.exists() and path.read_bytes() != pepper and not replace:
        raise Mistake(f"{path} is the pepper of other API keys: --replace puts that of the backup in its place")
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pepper)
    part.replace(path)


def _text(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(counts.items())) or "nothing"

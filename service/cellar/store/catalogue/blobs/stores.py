"""Chooses where blobs are kept: in a directory, or in Redis."""

from pathlib import Path

import redis

from cellar.errors import SettingsInvalid, StoreUnavailable
from cellar.ports import BlobStore
from cellar.store.catalogue.blobs.directory import FileBlobs
from cellar.store.catalogue.blobs.redis import RedisBlobs


def open_blobs(directory: Path | None, setting: str, client: redis.Redis, prefix: str) -> BlobStore:
    """Return the store in a directory, which that setting names, or in Redis. Raise SettingsInvalid."""
    if directory is None:
        return RedisBlobs(client, prefix, directory_setting=setting)
    try:
        return FileBlobs(directory)
    except StoreUnavailable as error:
        raise SettingsInvalid(f"{setting}: {error.detail}") from error

"""Settings of datasets."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from cellar.settings.values import MEBIBYTE


class DatasetSettings(BaseSettings):
    """Settings of datasets: where they are kept, and how large their files may be."""

    model_config = SettingsConfigDict(env_prefix="CELLAR_", env_ignore_empty=True, frozen=True, extra="ignore")

    dataset_dir: Path | None = Field(
        None,
        description="Directory for datasets, whose files processes map; every api and worker must mount it. Default:"
        " that of CELLAR_BLOB_DIR, or CELLAR_DATA_DIR/datasets beside the private Redis. With neither, datasets of up"
        " to 64 MiB are stored in Redis, and larger ones are refused.",
    )
    max_upload_bytes: int = Field(
        16 * 1024 * MEBIBYTE,
        ge=1024,
        description="Largest file of readings, bytes. It is written to CELLAR_DATA_DIR/tmp while it comes, and takes"
        " about twice its size there while it is read. Default: 16 GiB.",
    )

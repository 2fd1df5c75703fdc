"""The blobs of a training job: its dataset, the state with which it begins, and its checkpoints."""

from cellar.errors import StoreCorrupt
from cellar.ports import BlobStore, Job, Lease

STATE_BYTES = "state_bytes"
"""The member of the outcome of a job with the bytes of its last checkpoint."""

_MAGIC = b"cellar checkpoint "


def wrap_checkpoint(lease: Lease, state: bytes) -> bytes:
    """Return the blob of a checkpoint. It contains the attempt, so that no two attempts share a blob."""
    return _MAGIC + f"{lease.tenant}/{lease.job} {lease.attempt}\n".encode() + state


def unwrap_checkpoint(blob: bytes) -> bytes:
    """Return the state in a blob of `wrap_checkpoint`. Raise StoreCorrupt."""
    first, newline, state = blob.partition(b"\n")
    if not newline or not first.startswith(_MAGIC):
        raise StoreCorrupt("not a checkpoint")
    return state


def delete_blobs(job: Job, blobs: BlobStore) -> None:
    """Delete the arrays and the checkpoints of an ended job; a dataset that it names stays. Raise StoreUnavailable."""
    for digest in (*_given(job), job.checkpoint, job.spare):
        if digest is not None:
            blobs.delete(digest)


def delete_data(job: Job, blobs: BlobStore) -> None:
    """Delete the same, and keep the newest checkpoint, from which other jobs can resume. Raise StoreUnavailable."""
    for digest in (*_given(job), job.spare):
        if digest is not None:
            blobs.delete(digest)


def _given(job: Job) -> tuple[str | None, str | None]:
    """Return the digests of what a job was given: its arrays, and the state with which it begins."""
    return job.spec["data"].get("blob"), job.spec.get("begin", {}).get("blob")

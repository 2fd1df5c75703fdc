"""The blobs of a training job: its dataset and its checkpoints."""

from cellar.ports import BlobStore, Job


def delete_blobs(job: Job, blobs: BlobStore) -> None:
    """Delete the arrays and the checkpoints of an ended job; a dataset that it names stays. Raise StoreUnavailable."""
    for digest in (job.spec["data"].get("blob"), job.checkpoint, job.spare):
        if digest is not None:
            blobs.delete(digest)

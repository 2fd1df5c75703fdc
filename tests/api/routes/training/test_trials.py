"""The data of trials, whichever thread asks."""

from pathlib import Path
from typing import cast

from cellar.api.routes.training.trials import TrialSubmission
from cellar.jobs.submission.dataset import pack_dataset
from cellar.jobs.submission.submission import Jobs
from cellar.store.catalogue.blobs.directory import FileBlobs
from tests.jobs.conftest import walks


class OvertakenName(str):
    """The name of a blob; when it is compared, another thread asks for another one."""

    submission: TrialSubmission
    other: str

    __hash__ = str.__hash__

    def __ne__(self, name: object) -> bool:
        if str(name) != self.other:
            self.submission._data(self.other)
        return str(self) != name


def test_a_trial_has_the_data_of_its_sweep_whatever_another_thread_reads(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    submission = TrialSubmission(cast(Jobs, None), blobs)
    own, other = (blobs.put(pack_dataset(name, walks())) for name in ("own", "other"))
    found = submission._data(own)
    name = OvertakenName(own)
    name.submission, name.other = submission, other
    assert submission._data(name) is found

"""Errors: a class for each type of problem document, in groups by what a caller can do.

CellarError
    ConnectionFailed        no answer for as long as the client repeats
    JobFailed, SweepFailed, TrialFailed
                            a training job, a sweep, or a trial of one, that has not succeeded
    StateFileInvalid        a state file that cannot be continued
    Problem                 an answer of the service
        NotFound, Gone, Conflict, Refused, Unavailable, Fault
            one class for each type: SessionUnknown, Regressed, ShapeMismatch, ...
"""

from typing import Any, ClassVar

from cellar_client.documents import BacktestJobDocument, Document, JobDocument, SweepDocument, TrialDocument

PREFIX = "urn:cellar:problem:"


class CellarError(Exception):
    """Any error of this client."""


class ConnectionFailed(CellarError):
    """The service gave no answer for as long as the client repeats a request. It may have been applied."""


class StateFileInvalid(CellarError):
    """The state file is of another session, or cannot be read."""


class JobFailed(CellarError):
    """A training job has failed or was cancelled; `document` is the job."""

    def __init__(self, document: JobDocument) -> None:
        super().__init__(f"{document['job']} is {document['state']}: {document.get('error')}")
        self.document = document


class BacktestFailed(CellarError):
    """A backtest has failed or was cancelled; `document` is the backtest."""

    def __init__(self, document: BacktestJobDocument) -> None:
        super().__init__(f"{document['backtest']} is {document['state']}: {document.get('error')}")
        self.document = document


class SweepFailed(CellarError):
    """A sweep has failed or was cancelled; `document` is the sweep."""

    def __init__(self, document: SweepDocument) -> None:
        super().__init__(f"{document['sweep']} is {document['state']}: {document.get('error')}")
        self.document = document


class TrialFailed(CellarError):
    """A trial of a sweep has failed or was cancelled; `document` is the trial."""

    def __init__(self, document: TrialDocument) -> None:
        super().__init__(f"trial {document['trial']} is {document['state']}: {document['error']}")
        self.document = document


class Problem(CellarError):
    """A problem document of the service (RFC 9457).

    `type` is the name without its prefix, `document` the whole document. The other members are those of
    docs/reference/errors.md, or None where the document does not have them.
    """

    _by_type: ClassVar[dict[str, type["Problem"]]] = {}

    def __init_subclass__(cls, type: str) -> None:  # noqa: A002 - the member of the document
        """Register a subclass for a type of problem documents."""
        super().__init_subclass__()
        Problem._by_type[type] = cls

    def __init__(self, document: Document, retry_after_s: float | None = None) -> None:
        self.document = document
        self.status = int(document.get("status", 0))
        self.type = str(document.get("type", "")).removeprefix(PREFIX)
        self.title = str(document.get("title", self.type))
        self.detail = str(document.get("detail", ""))
        self.pointer: str | None = document.get("pointer")
        self.location: str | None = document.get("location")
        self.parameter: str | None = document.get("parameter")
        self.expected: Any = document.get("expected")
        self.actual: Any = document.get("actual")
        self.position: str | None = document.get("position")
        self.outcome: str | None = document.get("outcome")
        self.retry_after_s: float | None = document.get("retry_after_s", retry_after_s)
        """How long the service asks to wait before the request is sent again, seconds."""
        super().__init__(f"{self.status} {self.type}: {self.detail or self.title}")

    @staticmethod
    def of(document: Document, retry_after_s: float | None = None) -> "Problem":
        """Return the error of a problem document; of an unknown type, the group of its status."""
        name = str(document.get("type", "")).removeprefix(PREFIX)
        found = Problem._by_type.get(name) or _group(int(document.get("status", 0)))
        return found(document, retry_after_s)


class NotFound(Problem, type="not_found"):
    """There is no such path."""


class Gone(Problem, type="gone"):
    """It was there, and is not any more."""


class Conflict(Problem, type="conflict"):
    """The request does not fit what is there now."""


class Refused(Problem, type="refused"):
    """This request can never work; nothing was changed."""


class Unavailable(Problem, type="unavailable"):
    """The service cannot answer now. `outcome` says whether the request was applied."""


class Fault(Problem, type="fault"):
    """A fault of the service; its log says more."""


class ModelUnknown(NotFound, type="model_unknown"):
    """There is no such model, or its weights are gone."""


class AliasUnknown(NotFound, type="alias_unknown"):
    """The model has no such alias."""


class SessionUnknown(NotFound, type="session_unknown"):
    """There is no such session."""


class SnapshotUnknown(NotFound, type="snapshot_unknown"):
    """The session has no snapshot of that name."""


class ShadowUnknown(NotFound, type="shadow_unknown"):
    """The session has no shadow."""


class KeyUnknown(NotFound, type="key_unknown"):
    """There is no such API key, or it has ended."""


class DeletionUnknown(NotFound, type="deletion_unknown"):
    """No deletion of many sessions has that name, or it ended long ago."""


class DatasetUnknown(NotFound, type="dataset_unknown"):
    """There is no such dataset."""


class JobUnknown(NotFound, type="job_unknown"):
    """There is no such job."""


class BacktestUnknown(NotFound, type="backtest_unknown"):
    """There is no such backtest."""


class SweepUnknown(NotFound, type="sweep_unknown"):
    """There is no such sweep."""


class SessionExpired(Gone, type="session_expired"):
    """The session expired within the last day."""


class ModelDeleted(Gone, type="model_deleted"):
    """The model of the session was deleted by force."""


class AlreadyExists(Conflict, type="already_exists"):
    """The name is used by something else."""


class AliasMoved(Conflict, type="alias_moved"):
    """The alias does not name the expected version; `document["version"]` is the one that it names, 0 if none."""


class AliasesFull(Conflict, type="aliases_full"):
    """The model has as many aliases as it may have."""


class DatasetInUse(Conflict, type="dataset_in_use"):
    """Training jobs that have not ended need the dataset; `document` has their number, `jobs`."""


class JobActive(Conflict, type="job_active"):
    """The training job has not ended, and can be neither deleted nor tried again before."""


class SweepActive(Conflict, type="sweep_active"):
    """The sweep has not ended, and cannot be deleted before."""


class SweepNotOpen(Conflict, type="sweep_not_open"):
    """The sweep takes no trials of clients: it has ended, or it chooses its trials itself."""


class JobNotRetryable(Conflict, type="job_not_retryable"):
    """The training job cannot be tried again: it has succeeded, or its data are deleted."""


class JobNotResumable(Conflict, type="job_not_resumable"):
    """The state of the training job's optimiser is not kept: it is too old or too large, or there never was one."""


class ModelInUse(Conflict, type="model_in_use"):
    """Sessions, jobs, shadows, snapshots or aliases depend on the model or version."""


class ModelUnfit(Conflict, type="model_unfit"):
    """The version cannot take over the session: its inputs, states or outputs are others."""


class NotKept(Conflict, type="not_kept"):
    """The session was created without the history, log or events that the request needs."""


class NotReached(Conflict, type="not_reached"):
    """An earlier step of the same session failed."""


class OutOfReach(Conflict, type="out_of_reach"):
    """The step cannot be reached from the kept states and the log."""


class SnapshotUnfit(Conflict, type="snapshot_unfit"):
    """The snapshot is of another model than the session has now."""


class SnapshotsFull(Conflict, type="snapshots_full"):
    """The session has as many snapshots as it may have."""


class KernelRevisionMismatch(Conflict, type="kernel_revision_mismatch"):
    """The session has another revision of the arithmetic."""


class PositionConflict(Conflict, type="position_conflict"):
    """The session is not at the position of the request. `position` is where it is."""


class Regressed(PositionConflict, type="regressed"):
    """The request is ahead of the session: an earlier step is missing, or Redis lost steps."""


class StepTaken(PositionConflict, type="step_taken"):
    """That step was applied with another request."""


class EpochChanged(PositionConflict, type="epoch_changed"):
    """The session was reset, written, restored, rewound or migrated."""


class Diverged(PositionConflict, type="diverged"):
    """The session has another history before that step."""


class ReplayExpired(PositionConflict, type="replay_expired"):
    """The step was applied, and its answer cannot be repeated any more."""


class Overlap(PositionConflict, type="overlap"):
    """The step is inside a sequence that was applied."""


class WriterUnknown(PositionConflict, type="writer_unknown"):
    """The session does not know the writer."""


class SessionMoved(PositionConflict, type="session_moved"):
    """The session was changed while a long sequence ran."""


class InvalidInput(Refused, type="invalid_input"):
    """A member is missing, unknown or of the wrong type."""


class InvalidParameter(Refused, type="invalid_parameter"):
    """A path, query or header value is not allowed."""


class ShapeMismatch(Refused, type="shape_mismatch"):
    """The array does not have the batch size and input size of the session."""


class Unauthenticated(Refused, type="unauthenticated"):
    """The request has no API key, or one that is not known or has ended: `Client(..., api_key=...)`."""


class ScopeMissing(Refused, type="scope_missing"):
    """The API key has not the scope that the request needs."""


class KeysFull(Conflict, type="keys_full"):
    """The installation has the largest allowed number of API keys."""


class KeysNotUsed(Conflict, type="keys_not_used"):
    """The service has no pepper, under which API keys are stored."""


class IdUnknown(Refused, type="id_unknown"):
    """The input of an embedding is not one of its ids."""


class TypeMismatch(Refused, type="type_mismatch"):
    """A number that an input of the model cannot hold, such as 0.5 where it takes integers."""


class WholeSequencesOnly(Refused, type="whole_sequences_only"):
    """The model reads sequences from both ends."""


class NotFinite(Refused, type="not_finite"):
    """A number that float32 cannot represent."""


class StateNotFinite(Refused, type="state_not_finite"):
    """A number of the new state would be NaN or infinite."""


class OutputNotFinite(Refused, type="output_not_finite"):
    """A number of the output would be NaN or infinite."""


class StepFailed(Refused, type="step_failed"):
    """The model cannot compute the step."""


class FingerprintMismatch(Refused, type="fingerprint_mismatch"):
    """This key, or this number of the writer, was used with another body."""


class JobTooLarge(Refused, type="job_too_large"):
    """The training job would need more memory than is allowed."""


class ForkTooLarge(Refused, type="fork_too_large"):
    """The children would have more state than is allowed."""


class DatasetInvalid(Refused, type="dataset_invalid"):
    """A file of readings cannot be read as asked; `document` has `row` and `column`."""


class ImportRefused(Refused, type="import_refused"):
    """The weights cannot be read or expressed; `document` has `place` and `remedy`."""


class TooManyFaults(Refused, type="too_many_faults"):
    """Too many steps in a row of a bulk request cannot be read."""


class CellInvalid(Refused, type="cell_invalid"):
    """The equations of a cell are wrong."""


class CellSyntax(CellInvalid, type="cell_syntax"):
    """The text is not in the cell language."""


class CellName(CellInvalid, type="cell_name"):
    """A name in the equations is unknown, reserved, misspelt or assigned twice."""


class CellShape(CellInvalid, type="cell_shape"):
    """Shapes in the equations do not fit."""


class CellLimit(CellInvalid, type="cell_limit"):
    """The cell is larger than allowed."""


class MalformedRequest(Refused, type="malformed_request"):
    """The bytes are not one HTTP request."""


class MalformedJson(Refused, type="malformed_json"):
    """The body is not JSON."""


class MalformedBody(Refused, type="malformed_body"):
    """The body is not what its headers say."""


class BodyTooLarge(Refused, type="body_too_large"):
    """The body is larger than allowed."""


class HeadTooLarge(Refused, type="head_too_large"):
    """The head of the request is larger than allowed."""


class HostRefused(Refused, type="host_refused"):
    """The address is not a name of the service."""


class OriginRefused(Refused, type="origin_refused"):
    """The request is from a web page of another site."""


class MethodNotAllowed(Refused, type="method_not_allowed"):
    """The path does not have this method."""


class NotAcceptable(Refused, type="not_acceptable"):
    """The service cannot write the form that was asked for."""


class UnsupportedMediaType(Refused, type="unsupported_media_type"):
    """The service cannot read the form of the body."""


class StoreUnavailable(Unavailable, type="store_unavailable"):
    """Redis does not answer or refuses."""


class Overloaded(Unavailable, type="overloaded"):
    """Too many requests are waiting."""


class QuotaExceeded(Unavailable, type="quota_exceeded"):
    """The tenant has used up a quota; `document` has its name, its limit and the setting."""


class DeadlineExceeded(Unavailable, type="deadline_exceeded"):
    """The request did not begin in time."""


class RequestTimeout(Unavailable, type="request_timeout"):
    """The request did not arrive in time."""


class InternalError(Fault, type="internal_error"):
    """A fault of the service."""


class CompileFailed(Fault, type="compile_failed"):
    """A kernel of the model cannot be compiled or loaded."""


class StoreCorrupt(Fault, type="store_corrupt"):
    """A record in Redis is damaged, or written by a newer version."""


def _group(status: int) -> type[Problem]:
    """Return the class of a problem whose type this client does not know."""
    groups: dict[int, type[Problem]] = {404: NotFound, 409: Conflict, 410: Gone, 502: Unavailable}
    groups |= {429: Unavailable, 503: Unavailable, 504: Unavailable}
    return groups.get(status, Refused if status < 500 else Fault)

"""Documents of the service: dictionaries with these members, and others that a newer service may add."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict

Document = dict[str, Any]
"""A JSON object."""


class SessionDocument(TypedDict):
    """A session: its model, its position and its lifetime."""

    session: str
    model: str
    follows: str | None
    model_digest: str
    kernel_rev: int
    batch_size: int
    step: int
    position: str
    ttl_s: int
    history: int
    log: int
    events: int
    pinned: bool
    created: str
    expires: str | None


class ChangeDocument(TypedDict):
    """The position of a session after a change."""

    step: int
    position: str


class WriterDocument(ChangeDocument):
    """The number of a writer's last request, 0 if the session does not know it, and the position of the session."""

    session: str
    writer: str
    seq: int


class SnapshotDocument(ChangeDocument):
    """A snapshot: where it was taken, and the model of the session at that time."""

    snapshot: str
    session: str
    model: str
    model_digest: str
    kernel_rev: int
    batch_size: int
    taken: str


class TargetForecast(TypedDict):
    """The forecast of a target: a number for each step ahead, with several rows an array for each."""

    point: list[Any]
    quantiles: dict[str, list[Any]] | None
    paths: list[Any] | None


class ForecastDocument(TypedDict):
    """A forecast, by the names of targets, and the position from which it was made."""

    session: str
    model: str
    position: str
    horizon: int
    times: list[Any] | None
    targets: dict[str, TargetForecast]


class BacktestTarget(TypedDict):
    """The metrics of a target in all, by series and by step ahead, and those of naive forecasts."""

    metrics: dict[str, float | None]
    series: dict[str, dict[str, float | None]]
    steps: dict[str, list[float | None]]
    baselines: dict[str, dict[str, float | None]]
    better_than: dict[str, float | None]


class BacktestPlot(TypedDict):
    """Values that were forecast, and the forecasts."""

    series: str
    target: str
    times: list[str] | None
    rows: list[int]
    actual: list[float | None]
    point: list[float | None]
    low: list[float | None] | None
    high: list[float | None] | None
    interval: float | None


class BacktestDocument(TypedDict):
    """A backtest of a model on a dataset."""

    model: str
    dataset: str
    horizon: int
    stride: int
    origins: int
    values: int
    targets: dict[str, BacktestTarget]
    plots: list[BacktestPlot]


class BacktestJobDocument(TypedDict):
    """A backtest that a worker runs."""

    backtest: str
    state: str
    model: str
    dataset: str
    options: Document
    priority: str
    attempt: int
    progress: Document
    result: BacktestDocument | None
    error: str | None
    created: str
    started: str | None
    ended: str | None


class BacktestSettings(TypedDict):
    """The options of a backtest, as docs/forecasting.md describes them."""

    stride: NotRequired[int]
    start: NotRequired[float]
    quantiles: NotRequired[Sequence[float]]
    paths: NotRequired[int]
    seed: NotRequired[int]
    period: NotRequired[int]
    inputs: NotRequired[Sequence[str]]
    targets: NotRequired[Sequence[str]]


class HistoryDocument(ChangeDocument):
    """The kept states, and the ranges [first, last] of steps that a rewind can reach."""

    session: str
    states: list[ChangeDocument]
    reachable: list[list[int]]


class DifferenceDocument(TypedDict):
    """The largest difference of the outputs of one change."""

    position: str
    largest: float


class DifferencesDocument(TypedDict):
    """How the outputs of two versions differ."""

    steps: int
    largest: float
    mean: float
    last: list[DifferenceDocument]


class ReplayDocument(TypedDict):
    """A log that was run on another version: from which position to which, and with which result."""

    model: str
    session: str | None
    began: str
    ended: str
    steps: int
    differences: DifferencesDocument | None


class ShadowDocument(DifferencesDocument):
    """Another version that runs the inputs of a session, and how its outputs differ."""

    session: str
    model: str
    began: str
    position: str
    behind: int
    missed: int
    stopped: str | None


class LearningDocument(TypedDict):
    """The weights that a session has learnt, and its errors."""

    session: str
    model: str
    step: int
    position: str
    learning: Document
    updates: int
    waiting: int
    first: int | None
    loss: float | None
    base_loss: float | None
    delta_norm: float


class ParameterDocument(TypedDict):
    """An array of weights."""

    name: str
    shape: list[int]


class StateDocument(TypedDict):
    """A state of a layer."""

    layer: int
    name: str
    size: int


class VersionDocument(TypedDict):
    """A version of a model."""

    model: str
    version: int
    digest: str
    created: str
    parent: str | None
    metrics: dict[str, float]
    tags: list[str]
    description: str | None
    aliases: list[str]


class ModelDocument(VersionDocument):
    """A version of a model with its network, or with the graph that is hosted as it is."""

    name: str
    engine: Literal["cells", "onnxruntime"]
    engine_version: str | None
    published_with: str | None
    bits_promised: bool
    network: Document | None
    graph: Document | None
    parameters: list[ParameterDocument]
    parameter_count: int
    state: list[StateDocument]
    in_size: int
    out_size: int
    whole_sequences: bool


class ModelLineDocument(TypedDict):
    """A model in a list: its newest version, and all versions."""

    name: str
    model: str
    versions: list[VersionDocument]


class DatasetLineDocument(TypedDict):
    """A dataset in a list."""

    dataset: str
    digest: str
    source: str
    created: str
    rows: int
    series: int
    size_bytes: int
    first: str | None
    last: str | None
    interval_s: float | None


class DatasetDocument(DatasetLineDocument):
    """A dataset with its columns."""

    columns: list[Document]


class KeyDocument(TypedDict):
    """An API key, without its text."""

    id: str
    name: str
    scopes: list[str]
    created: str
    expires: str | None
    revoked: str | None


class NewKeyDocument(KeyDocument):
    """An API key that was just made."""

    key: str


class KeysDocument(TypedDict):
    """The API keys of a tenant."""

    keys: list[KeyDocument]


class TicketDocument(TypedDict):
    """A ticket, and when it can no longer be used."""

    ticket: str
    expires: str


class AliasDocument(TypedDict):
    """A name for a version of a model."""

    alias: str
    name: str
    model: str
    version: int
    moved: str


class CellDocument(TypedDict):
    """The meaning of the equations of a cell."""

    parameters: list[ParameterDocument]
    states: list[Document]
    output: Document
    operations: int
    flops: int
    digest: str
    canonical: str


class JobDocument(TypedDict):
    """A training job."""

    job: str
    state: str
    model: str
    training: Document
    resume_from: str | None
    publish: str
    priority: str
    max_seconds: float | None
    max_memory_bytes: int | None
    processes: int | None
    updates_total: int | None
    memory_bytes: int | None
    chosen: list[Document]
    warnings: list[str]
    attempt: int
    progress: Document
    history: list[Document]
    evaluation: Document | None
    result: str | None
    error: str | None
    created: str
    started: str | None
    ended: str | None


class TrialDocument(TypedDict):
    """A trial of a sweep."""

    trial: int
    rung: int
    epochs: int | None
    parameters: Document
    job: str | None
    state: str
    value: float | None
    error: str | None


class EpochDocument(TypedDict):
    """A finished epoch of a job."""

    epoch: int
    loss: float | None
    validation_loss: float | None
    learning_rate: float | None


class SweepDocument(TypedDict):
    """A sweep with its trials, the best first."""

    sweep: str
    state: str
    model: str
    search: Document
    parameters: Document
    publish: Document | None
    max_parallel: int
    objective: str
    counts: dict[str, int]
    trials: list[TrialDocument]
    best: TrialDocument | None
    result: str | None
    error: str | None
    created: str
    ended: str | None


class DeletionDocument(TypedDict):
    """A deletion of many sessions, or their number if nothing was to be deleted."""

    deletion: str
    state: str
    prefix: str
    model: str | None
    idle_s: int | None
    dry_run: bool
    matched: int
    deleted: int
    created: str
    ended: str | None


class HealthDocument(TypedDict):
    """A process that answers, and its version."""

    status: str
    version: str


class ReadyDocument(TypedDict):
    """A service that can serve requests, and what its store guarantees."""

    status: str
    build: str
    store: Document


class TrainingSettings(TypedDict):
    """The fields of a job, as docs/reference/training.md describes them."""

    state: NotRequired[str]
    window: NotRequired[int | None]
    recompute: NotRequired[int | None]
    warmup: NotRequired[int]
    skip: NotRequired[int]
    loss: NotRequired[str | Document]
    reduce: NotRequired[str]
    optimiser: NotRequired[str | Document]
    epochs: NotRequired[int]
    batch_size: NotRequired[int]
    seed: NotRequired[int]
    early_stopping: NotRequired[Document | None]
    accumulate: NotRequired[int]
    average: NotRequired[Document]
    learning_rates: NotRequired[dict[str, float]]
    target_weights: NotRequired[list[float]]
    freeze: NotRequired[list[int | str]]
    resume_from: NotRequired[str | None]
    publish: NotRequired[str]

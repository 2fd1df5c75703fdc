"""Checks whether a version of a model can run a session: same inputs and rows, and where needed outputs and states."""

from cellar.errors import InvalidInput, ModelUnfit
from cellar.ports import SessionRecord
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.model_protocol import Model, Network, layout_of


async def load_compatible(
    sessions: Sessions, record: SessionRecord, ref: str, *, learns: bool = True
) -> tuple[Model, Model]:
    """Return the version of the session and the version `ref`, which must be able to run the inputs of the session.

    Of a session that learns both do, the version `ref` only if `learns`.
    The version of the session may have been deleted; then only its sizes are known.

    Raise ModelUnfit, ModelUnknown, or InvalidInput if the session has too many rows for the version `ref`.
    """
    own = await sessions.models.known(record.key.tenant, record.meta)
    try:
        model = await sessions.models.resolve(record.key.tenant, ref, record.meta.learning if learns else "")
    except InvalidInput as error:  # it cannot learn
        raise ModelUnfit(f"{ref}: {error.detail}", expected=error.expected, actual=error.actual) from error
    mine, its = own.network.network, model.network.network
    if mine.in_size != its.in_size:
        raise unfit(model, "inputs", mine.in_size, its.in_size)
    if mine.row_reader is not None and its.row_reader is not None:
        columns = mine.row_reader.signature, its.row_reader.signature
        if columns[0] != columns[1]:
            raise unfit(model, "columns", *columns)
    if mine.whole_sequences != its.whole_sequences:
        raise unfit(model, "kind of sequences", mine.whole_sequences, its.whole_sequences)
    sessions.check_rows(record.meta.batch_size, its)
    return own, model


def check_outputs(own: Model, model: Model) -> None:
    """Raise ModelUnfit unless both versions have outputs of the same size."""
    mine, its = own.network.network.out_size, model.network.network.out_size
    if mine != its:
        raise unfit(model, "outputs", mine, its)


def same_states(network: Network, model: Model) -> bool:
    """Return whether a version has the same layers, states and sizes as a network."""
    return layout_of(network.network) == layout_of(model.network.network)


def unfit(model: Model, what: str, mine: object, its: object) -> ModelUnfit:
    """Return the error for a version that differs from that of the session in `what`."""
    return ModelUnfit(f"{model.version.ref} has different {what} from the session", expected=str(mine), actual=str(its))

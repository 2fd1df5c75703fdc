"""Which versions can take on a session: its inputs, its rows, and if need be its outputs and states are theirs too."""

from cellar.errors import ModelUnfit
from cellar.ports import SessionRecord
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.model_protocol import Model, Network
from cellar.sessions.values.state_layout import layout_of


async def fitting(sessions: Sessions, record: SessionRecord, ref: str) -> tuple[Model, Model]:
    """Return the session's own version and the one that is asked for, which must be able to take its inputs.

    The session's own may be one that was deleted, of which only the sizes are known.

    Raise ModelUnfit, ModelUnknown, or InvalidInput where the session has more rows than it may have.
    """
    own = await sessions.models.known(record.key.tenant, record.meta)
    model = await sessions.models.resolve(record.key.tenant, ref)
    mine, its = own.network.network, model.network.network
    if mine.in_size != its.in_size:
        raise unfit(model, "inputs", mine.in_size, its.in_size)
    if mine.whole_sequences != its.whole_sequences:
        raise unfit(model, "kind of sequences", mine.whole_sequences, its.whole_sequences)
    sessions.check_rows(record.meta.batch_size, its)
    return own, model


def check_outputs(own: Model, model: Model) -> None:
    """Raise ModelUnfit unless both have outputs of the same size."""
    mine, its = own.network.network.out_size, model.network.network.out_size
    if mine != its:
        raise unfit(model, "outputs", mine, its)


def carries(network: Network, model: Model) -> bool:
    """Return whether a version has the same states."""
    return layout_of(network.network) == layout_of(model.network.network)


def unfit(model: Model, what: str, mine: object, its: object) -> ModelUnfit:
    """Return the error for a version that differs from the session's own in something."""
    return ModelUnfit(f"{model.version.ref} has other {what} than the session", expected=str(mine), actual=str(its))

"""Creates many sessions in one request, each of which succeeds or fails by itself."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cellar.errors import CellarError
from cellar.ports import Alias, Floats, Origin, SessionKey, SessionRecord
from cellar.sessions.service import state_edits
from cellar.sessions.service.options import SessionOptions, new_name
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.model_protocol import Model, layout_of
from cellar.sessions.values.results import CreateAnswer

AT_ONCE = 256
"""Sessions that are created by one call of the store, in some milliseconds; other requests are served in between."""


class SessionOrder(NamedTuple):
    """A session to create: its name, None for a random one, its model, its options, and its first state."""

    session: str | None
    model: str
    options: SessionOptions
    states: Mapping[state_edits.Place, Floats] | None = None
    """All states by layer and name, None for the initial state of the model."""


class _Template(NamedTuple):
    """The model and the first state of sessions of one model with the same options."""

    model: Model
    alias: Alias | None
    state: bytes
    layout: str | None
    """The layout of the state if the inputs are logged."""


class BulkCreation:
    """One request: what it asks of models is found once for all of its sessions."""

    def __init__(self, sessions: Sessions, tenant: str) -> None:
        self._sessions = sessions
        self._tenant = tenant
        self._models: dict[tuple[str, str], tuple[Model, Alias | None] | CellarError] = {}
        self._states: dict[tuple[str, int, str], bytes] = {}
        self._templates: dict[tuple[str, SessionOptions], _Template] = {}

    async def create(self, orders: Sequence[SessionOrder]) -> list[CreateAnswer | CellarError]:
        """Create sessions; return the answer or the error of each.

        Of several orders with one name the later ones are answered as repetitions of the first.
        """
        found: dict[int, CreateAnswer | CellarError] = {}
        left = list(range(len(orders)))
        while left:
            group, later = _group(orders, left)
            found |= await self._create_group(orders, group)
            left = later
        return [found[at] for at in range(len(orders))]

    async def _create_group(
        self, orders: Sequence[SessionOrder], group: Sequence[int]
    ) -> dict[int, CreateAnswer | CellarError]:
        """Create the sessions of some orders with different names; return the outcomes by the place of the order."""
        found: dict[int, CreateAnswer | CellarError] = {}
        prepared: list[tuple[int, SessionRecord, str | None, Origin]] = []
        for at in group:
            try:
                prepared.append((at, *await self._prepare(orders[at])))
            except CellarError as error:
                found[at] = error
        created = await self._sessions.admit_all([each[1:] for each in prepared])
        for (at, record, _, _), there in zip(prepared, created, strict=True):
            if isinstance(there, CellarError):
                found[at] = there
                continue
            try:
                found[at] = self._sessions.answer_of(record, there, orders[at].model)
            except CellarError as error:
                found[at] = error
        return found

    async def _prepare(self, order: SessionOrder) -> tuple[SessionRecord, str | None, Origin]:
        """Return the record of an order, its layout if its inputs are logged, and where its state is from.

        Raise the error of the order.
        """
        key = SessionKey(self._tenant, new_name(order.session))
        common = order.model, order.options
        template = self._templates.get(common)
        if template is None:
            template = self._templates[common] = await self._template(*common)
        loaded, alias, state, layout = template
        record = self._sessions.new_record(key, order.options, loaded, alias, state)
        if order.states is None:
            return record, layout, "create"
        record.state = state_edits.write_all(order.states, record, loaded.network).state
        return record, layout, "write"

    async def _template(self, model: str, options: SessionOptions) -> _Template:
        options.check(self._sessions.max_batch_size)
        loaded, alias = await self._model(model, options.learning)
        known = model, options.batch_size, options.learning
        if known not in self._states:
            self._states[known] = self._sessions.initial_state(loaded, options)
        else:
            self._sessions.check_options(loaded, options)
        layout = layout_of(loaded.network.network) if options.log else None
        return _Template(loaded, alias, self._states[known], layout)

    async def _model(self, model: str, learning: str) -> tuple[Model, Alias | None]:
        """Return a model as it is at the first session of the request that asks for it. Raise its error."""
        found = self._models.get((model, learning))
        if found is None:
            try:
                ref, alias = await self._sessions.aliases.resolve(self._tenant, model)
                found = await self._sessions.models.resolve(self._tenant, ref, learning), alias
            except CellarError as error:
                found = error
            self._models[model, learning] = found
        if isinstance(found, CellarError):
            raise found
        return found


def _group(orders: Sequence[SessionOrder], left: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the places of orders with different names, AT_ONCE at most, and of all others."""
    names: set[str] = set()
    group: list[int] = []
    later: list[int] = []
    for at in left:
        name = orders[at].session
        if len(group) == AT_ONCE or (name is not None and name in names):
            later.append(at)
            continue
        group.append(at)
        if name is not None:
            names.add(name)
    return group, later

"""Finds versions of models by reference, lists models, and changes what can be changed: aliases, tags, descriptions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cellar.errors import AliasUnknown, ModelUnknown
from cellar.ports import ANY_VERSION, MODEL_REFERENCE, Alias, AliasMove, Clock, ModelStore, ModelVersion

_REFERENCE = re.compile(MODEL_REFERENCE)

MOST_EXAMINED, MOST_VERSIONS = 1000, 10_000
"""Models, and versions of them, that are read for one page of a list. A model is never divided."""

AT_ONCE = 100
"""Models that are read in one round trip."""


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Selects models of a list and their versions; all of them by default."""

    prefix: str = ""
    """Prefix of the name of the model."""
    tag: str | None = None
    """Only versions with this tag."""
    alias: str | None = None
    """Only versions that this alias names."""

    def select(self, versions: Sequence[ModelVersion], aliases: Sequence[Alias]) -> list[ModelVersion]:
        """Return the selected versions of a model."""
        named = {each.version for each in aliases if each.alias == self.alias}
        return [
            version
            for version in versions
            if (self.alias is None or version.version in named) and (self.tag is None or self.tag in version.tags)
        ]


EVERY_MODEL = ModelFilter()


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model in a list: its newest version, its selected versions, oldest first, and its aliases."""

    newest: ModelVersion
    versions: Sequence[ModelVersion]
    aliases: Sequence[Alias]


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A version in a list, with the aliases of its model."""

    version: ModelVersion
    aliases: Sequence[Alias]


class ModelIndex:
    """Models of all tenants. Synchronous and safe to call from several threads. Methods may raise StoreUnavailable."""

    def __init__(self, models: ModelStore, clock: Clock) -> None:
        self._models = models
        self._clock = clock

    def get(self, tenant: str, ref: str) -> ModelVersion:
        """Return the version `name@3`, the newest version of `name`, or that of the alias `name@live`.

        Raise ModelUnknown.
        """
        match = _REFERENCE.fullmatch(ref)
        if match is None:
            raise ModelUnknown(f"no model {ref[:140]!r}")
        name, number, alias = match.groups()
        if alias is not None:
            return self.get_by_alias(tenant, name, alias)[0]
        return self._models.get(tenant, name, int(number) if number else None)

    def get_by_alias(self, tenant: str, name: str, alias: str) -> tuple[ModelVersion, Alias]:
        """Return the version that an alias names now, and the alias. Raise ModelUnknown."""
        while True:
            found = self._models.alias(tenant, name, alias)
            if found is None:
                raise ModelUnknown(self._no_alias(tenant, name, alias))
            try:
                return self._models.get(tenant, name, found.version), found
            except ModelUnknown:  # it was deleted with the alias, or the alias was moved before
                if self._models.alias(tenant, name, alias) == found:
                    raise

    def _no_alias(self, tenant: str, name: str, alias: str) -> str:
        there = ", ".join(each.alias for each in self._models.aliases(tenant, name))
        return f"no alias {alias!r} of a model {name!r}" + (f"; its aliases are {there}" if there else "")

    def aliases(self, tenant: str, name: str) -> list[Alias]:
        """Return the aliases of a model by name. Raise ModelUnknown."""
        found = self._models.aliases(tenant, name)
        if not found:
            self._models.get(tenant, name)
        return found

    def alias(self, tenant: str, name: str, alias: str) -> Alias | None:
        """Return an alias, None if there is none."""
        return self._models.alias(tenant, name, alias)

    def find_alias(self, tenant: str, name: str, alias: str) -> Alias:
        """Return an alias. Raise AliasUnknown."""
        found = self._models.alias(tenant, name, alias)
        if found is None:
            raise AliasUnknown(self._no_alias(tenant, name, alias))
        return found

    def move_alias(
        self, tenant: str, name: str, alias: str, version: int, expected: int | None = ANY_VERSION
    ) -> AliasMove:
        """Let an alias name a version, if it has the `expected` one now (None: if it is new).

        Raise ModelUnknown, AliasMoved or AliasesFull.
        """
        return self._models.move_alias(Alias(tenant, name, alias, version, self._now_ms()), expected)

    def delete_alias(self, tenant: str, name: str, alias: str, expected: int | None = ANY_VERSION) -> None:
        """Delete an alias. Raise AliasUnknown or AliasMoved."""
        self._models.delete_alias(Alias(tenant, name, alias, 0, self._now_ms()), expected)

    def aliases_moved_ms(self, tenant: str) -> int:
        """Return when an alias of the tenant was moved or deleted last; 0: never."""
        return self._models.aliases_moved_ms(tenant)

    def _now_ms(self) -> int:
        return int(1000 * self._clock.now_s())

    def describe(
        self, tenant: str, ref: str, *, tags: Sequence[str] | None = None, description: str | None = None
    ) -> ModelVersion:
        """Set tags, description or both of a version, and return it; "" removes a description. Raise ModelUnknown."""
        return self._models.describe(self.get(tenant, ref), tags=tags, description=description)

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions of a model, oldest first. Raise ModelUnknown."""
        return self._models.versions(tenant, name)

    def list(
        self, tenant: str, wanted: ModelFilter = EVERY_MODEL, *, after: str = "", limit: int | None = None
    ) -> tuple[list[ListedModel], str]:
        """Return the selected models with a name after `after`, by name, and the name after which the next page begins.

        It is "" on the last page. A page has up to `limit` models, or all; fewer if many had to be read to find them,
        or if they have very many versions.
        """
        names = [name for name in self._models.names(tenant) if name > after and name.startswith(wanted.prefix)]
        found: list[ListedModel] = []
        examined = versions_read = 0
        while examined < len(names) and (limit is None or len(found) < limit):
            if limit is not None and (examined >= MOST_EXAMINED or versions_read >= MOST_VERSIONS):
                break
            some = names[examined : examined + (AT_ONCE if limit is None else min(AT_ONCE, limit - len(found)))]
            for versions, aliases in self._models.listed(tenant, some):
                versions_read += len(versions)
                selected = wanted.select(versions, aliases)
                if selected:
                    found.append(ListedModel(versions[-1], selected, aliases))
            examined += len(some)
        return found, names[examined - 1] if 0 < examined < len(names) else ""

    def page(self, tenant: str, name: str, *, after: int, limit: int) -> tuple[Sequence[ListedVersion], int]:
        """Return versions of a model with a number above `after`, oldest first, and after which the next page begins.

        That is 0 on the last page. Raise ModelUnknown.
        """
        versions, following = self._models.page(tenant, name, after, limit)
        aliases = self._models.aliases(tenant, name)
        return [ListedVersion(version, aliases) for version in versions], following

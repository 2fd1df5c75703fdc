"""Names of tensors in modules that others wrap, and tensors from which a weight is computed when it is used."""

from collections.abc import Iterable, Mapping

from cellar.errors import ImportRefused
from cellar.interchange.imported import tensor_refused

TRANSPARENT = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Names that torch.compile, FSDP and checkpoint_wrapper put before those of the module that they wrap."""

PARALLEL = "module"
"""The name that DataParallel and DistributedDataParallel put first."""

PARAMETRIZATIONS = ".parametrizations."

REPARAMETRISED: Mapping[str, str] = {
    "_g": "torch.nn.utils.remove_weight_norm(module)",
    "_u": "torch.nn.utils.remove_spectral_norm(module)",
    "_mask": "torch.nn.utils.prune.remove(module, 'weight')",
}
"""How the weight itself is kept again, by the end of the names of tensors beside `weight_v` or `weight_orig`."""


def unwrapped(name: str) -> str:
    """Return the name of a module or tensor without the names that wrappers add."""
    parts = [part for part in name.split(".") if part not in TRANSPARENT]
    while parts and parts[0] == PARALLEL:
        parts = parts[1:]
    return ".".join(parts)


def by_unwrapped_name(names: Iterable[str]) -> dict[str, str]:
    """Return full names by the names without wrappers, those that belong to one only."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(unwrapped(name), []).append(name)
    return {short: full[0] for short, full in found.items() if len(full) == 1}


def check_not_computed(names: Iterable[str]) -> None:
    """Raise ImportRefused for tensors from which a parametrization or norm computes a weight."""
    every = set(names)
    for name in sorted(every):
        before, found, after = name.partition(PARAMETRIZATIONS)
        if found:
            weight = after.partition(".")[0]
            raise _computed(
                name,
                f"torch.nn.utils.parametrize.remove_parametrizations(module, {weight!r}) on {before!r} before saving,"
                " or import_torch(module), which reads the weight that the module computes",
            )
        for end, remedy in REPARAMETRISED.items():
            stem = name.removesuffix(end)
            if stem != name and {f"{stem}_v", f"{stem}_orig"} & every:
                raise _computed(name, f"{remedy} before saving")


def _computed(name: str, remedy: str) -> ImportRefused:
    return tensor_refused(
        "is no weight: the module computes its weight from it and others",
        name,
        "/weights",
        expected="the weight itself",
        actual=name[:128],
        remedy=remedy,
    )

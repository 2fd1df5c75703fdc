"""Methods of both clients that perform an operation: the signature that `help` shows."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar, get_args

Method = TypeVar("Method", bound=Callable[..., Any])


def described(method: Method, operation: Callable[..., Any], result: Any = None) -> Method:
    """Return a method with the name, docstring and parameters of an operation, and with the type of its result.

    `result` replaces the result of the operation: `Operation[Answer]` has the result Answer.
    """
    method.__name__, method.__doc__ = operation.__name__, operation.__doc__
    signature = inspect.signature(operation)
    found = _result(signature.return_annotation)
    annotation = found if result is None else result[found] if result in (Iterator, AsyncIterator) else result
    # functions have it
    method.__signature__ = signature.replace(return_annotation=annotation)  # type: ignore[attr-defined]
    return method


def _result(annotation: Any) -> Any:
    """Return the result of `Operation[result]`, a generator, and the item of `Emission[item]`."""
    effects, _, result = get_args(annotation)
    items = [get_args(each)[0] for each in get_args(effects) if get_args(each)]
    found = items[0] if items else result
    return None if found is type(None) else found

"""The classes of the user's own parts: those that a network has, those that a file asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnet.custom import is_custom
from cnet.description import Description

if TYPE_CHECKING:
    from cnet.model import Sequential

# Before the name of such a class, where a description says of what kind it is.
PREFIX = "custom."

Classes = Mapping[str, type[Any]]


def kind_of(part: Description) -> str | None:
    """Return what stands for a part's class in a file; None if that is one of cnet's own."""
    return f"{PREFIX}{type(part).__name__}" if is_custom(type(part)) else None


def check_plain(part: Description, name: str, described: Any) -> None:
    """Make sure that a file can hold a setting of the user's own part, as it is described.

    Raises
    ------
    TypeError
    """
    items = described if isinstance(described, (list, tuple)) else [described]
    if not all(isinstance(item, (str, int, float, dict, type(None))) for item in items):
        raise TypeError(
            f"{type(part).__name__}.{name} is {getattr(part, name)!r}, which a file cannot hold: "
            "settings are numbers, strings, flags, None, lists of these, and cnet's own settings"
        )


def classes_of(net: Sequential) -> dict[str, type[Any]]:
    """Return the classes of the user's own that a network's parts are of, by name.

    Raises
    ------
    ValueError
        If two have one name.
    """
    found: dict[str, type[Any]] = {}
    parts: list[Any] = list(net.layers)
    if net.is_compiled:
        parts += [net.compiled.optimizer, net.compiled.loss]
    while parts:
        part = parts.pop()
        if isinstance(part, (list, tuple)):
            parts += part
        if not isinstance(part, Description):
            continue
        parts += [getattr(part, name) for name in part.fields]
        cls = type(part)
        if is_custom(cls) and found.setdefault(cls.__name__, cls) is not cls:
            raise ValueError(
                f"two classes of custom parts are called {cls.__name__}: {cls!r} and "
                f"{found[cls.__name__]!r}; rename one, their names tell them apart in a file"
            )
    return found


def check_classes(config: Any, given: Classes | None) -> dict[str, type[Any]]:
    """Return the classes for the custom parts of a description, which is not trusted.

    Raises
    ------
    ValueError
        If some are missing.
    TypeError
        For what is no class of a custom part.
    """
    classes = dict(given or {})
    for name, cls in classes.items():
        if not isinstance(cls, type) or not is_custom(cls):
            raise TypeError(
                f"custom[{name!r}] must be a subclass of one of cnet.custom, got {cls!r}"
            )
    needed: set[str] = set()
    places = [config]
    while places:
        place = places.pop()
        if isinstance(place, dict):
            kind = place.get("kind")
            if isinstance(kind, str) and kind.startswith(PREFIX):
                needed.add(kind.removeprefix(PREFIX))
            places += place.values()
        elif isinstance(place, list):
            places += place
    missing = sorted(needed - set(classes))
    if missing:
        listed = ", ".join(f"{name!r}: {name}" for name in missing if name.isidentifier())
        raise ValueError(
            f"the network has parts of the user's own: {', '.join(missing)}. Files never bring "
            f"code with them: pass the classes, custom={{{listed}}}"
        )
    return classes

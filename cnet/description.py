"""`Description`: a class of checked, unchangeable settings, made from annotations.

It does what a frozen dataclass does, and type checkers treat it as one. The difference is the
price of `import cnet`: the standard library compiles six functions for every dataclass, which for
the forty of this package took longer than everything else together.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self, dataclass_transform


class _Signature:
    """Computes a description's signature when somebody asks for it, as `help` does."""

    def __get__(self, instance: object, owner: type[Description]) -> inspect.Signature:
        kind = inspect.Parameter
        parameters = [
            kind(
                name,
                kind.KEYWORD_ONLY if name in owner.keyword_only else kind.POSITIONAL_OR_KEYWORD,
                default=owner.defaults.get(name, kind.empty),
                annotation=_annotation(owner, name),
            )
            for name in owner.fields
        ]
        return inspect.Signature(sorted(parameters, key=lambda p: p.kind))


def _annotation(owner: type, name: str) -> Any:
    for cls in owner.__mro__:
        if name in inspect.get_annotations(cls):
            return inspect.get_annotations(cls)[name]
    return inspect.Parameter.empty


@dataclass_transform(frozen_default=True)
class Description:
    """Fields are the annotated names of a class and its bases, those of the bases first.

    Subclasses check and normalise their fields in `__post_init__` (with `_set`). After that no
    field can be written. Two descriptions are equal if they are of one class and have equal fields,
    unless the class says `eq=False`.

    Attributes
    ----------
    fields : tuple of str
    keyword_only : frozenset of str
        Those that cannot be given by position (`kw_only=True` for all that a class declares).
    defaults : dict
    """

    fields: ClassVar[tuple[str, ...]] = ()
    keyword_only: ClassVar[frozenset[str]] = frozenset()
    defaults: ClassVar[dict[str, Any]] = {}
    __signature__: ClassVar[Any] = _Signature()

    def __init_subclass__(cls, *, eq: bool = True, kw_only: bool = False) -> None:
        own = tuple(
            name
            for name, annotation in inspect.get_annotations(cls).items()
            if not str(annotation).startswith("ClassVar")
        )
        cls.fields = cls.fields + tuple(name for name in own if name not in cls.fields)
        cls.keyword_only = cls.keyword_only | set(own) if kw_only else cls.keyword_only - set(own)
        given = {n: cls.__dict__[n] for n in cls.fields if n in cls.__dict__}
        cls.defaults = cls.defaults | given
        if not eq:
            cls.__eq__ = object.__eq__  # type: ignore[method-assign]
            cls.__hash__ = object.__hash__  # type: ignore[method-assign]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        positional = [f for f in self.fields if f not in self.keyword_only]
        if len(args) > len(positional):
            raise TypeError(
                f"{name}() takes {len(positional)} positional arguments, got {len(args)}"
            )
        values = dict(zip(positional, args, strict=False))
        for key, value in kwargs.items():
            if key not in self.fields:
                raise TypeError(
                    f"{name}() has no setting {key!r}; it has {', '.join(self.fields) or 'none'}"
                )
            if key in values:
                raise TypeError(f"{name}() got {key!r} twice")
            values[key] = value
        missing = [f for f in self.fields if f not in values and f not in self.defaults]
        if missing:
            raise TypeError(f"{name}() needs {', '.join(missing)}")
        for field in self.fields:
            self._set(field, values[field] if field in values else self.defaults[field])
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the fields; nothing to check unless a subclass does."""

    def _set(self, field: str, value: object) -> None:
        """Write a field while the description is being made."""
        object.__setattr__(self, field, value)

    def replace(self, **changes: Any) -> Self:
        """Return a description like this one but for some fields."""
        return type(self)(**{f: getattr(self, f) for f in self.fields} | changes)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{type(self).__name__} cannot be changed; make another one, .replace({name}=...) does"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, f) == getattr(other, f) for f in self.fields)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, f) for f in self.fields)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{f}={getattr(self, f)!r}" for f in self.fields)
        return f"{type(self).__name__}({shown})"

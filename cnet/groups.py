"""What training does with some parameters in particular: settings of their own, freezing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from cnet.description import Description
from cnet.errors import check_number, unknown
from cnet.layers import named
from cnet.optimizer import Optimizer

if TYPE_CHECKING:
    from cnet._core.rules import Rule
    from cnet.assembly import Built
    from cnet.compiled import Compiled
    from cnet.program import Parameter


class Group(Description):
    """How the optimizer treats a layer or a parameter.

    Parameters
    ----------
    learning_rate_factor : float, optional
        Multiplies the learning rate, whatever says that: a number or a schedule. At 0 the
        parameters stay, though the optimizer's state goes on; `freeze` costs less.
    weight_decay : float, optional
        Instead of the optimizer's; of the kind, coupled or decoupled, that the optimizer has.

    Raises
    ------
    TypeError, ValueError
        For what is no finite number of at least 0.
    """

    learning_rate_factor: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        for name in self.fields:
            if getattr(self, name) is not None:
                self._set(name, check_number(name, getattr(self, name), 0))


GroupsLike: TypeAlias = Mapping[str, Group | Mapping[str, Any]]
Groups: TypeAlias = tuple[tuple[str, Group], ...]


def check(groups: GroupsLike | None) -> Groups:
    """Return what `compile` was given as pairs of a name and a group.

    Raises
    ------
    TypeError, ValueError
        For what is no dict of groups, or settings that a group has not.
    """
    if groups is None:
        return ()
    example = "{'dense_1': {'learning_rate_factor': 0.1}}"
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a dict such as {example}, got {groups!r}")
    found = []
    for name, given in groups.items():
        if isinstance(given, Mapping):
            for setting in given:
                if setting not in Group.fields:
                    error = unknown(f"setting in groups[{name!r}]:", setting, Group.fields)
                    raise ValueError(f"{error} Freezing is net.freeze({name!r})")
            given = Group(**given)
        if not isinstance(given, Group):
            raise TypeError(
                f"groups[{name!r}] must be a cnet.Group or a dict of its settings as in {example}, "
                f"got {given!r}"
            )
        found.append((name, given))
    return tuple(found)


def check_names(groups: Groups, parameters: Sequence[Parameter]) -> None:
    """Make sure that every group is of a block or layer with parameters, or of a parameter.

    Raises
    ------
    ValueError
        For another name.
    """
    known = dict.fromkeys(name for p in parameters for name in _prefixes(p.name))
    for name, _ in groups:
        if name not in known:
            raise unknown("layer or parameter in groups:", name, known)


def settings_of(
    parameter: Parameter, groups: Groups, optimizer: Optimizer
) -> tuple[float, tuple[float, float] | None]:
    """Return how a parameter's settings differ from the optimizer's, as `Rule.set_groups` takes it.

    What is said of a parameter comes before what is said of its layer, that before what is said of
    a block that the layer is in, and all before `weight_decay_on`.
    """
    factor, decay = 1.0, None
    if optimizer.weight_decay_on == "kernels" and not parameter.is_kernel:
        decay = 0.0
    said = dict(groups)
    for group in (said[name] for name in _prefixes(parameter.name) if name in said):
        if group.learning_rate_factor is not None:
            factor = group.learning_rate_factor
        if group.weight_decay is not None:
            decay = group.weight_decay
    if decay is None:
        return factor, None
    return factor, (0.0, decay) if optimizer.decoupled_weight_decay else (decay, 0.0)


def _prefixes(name: str) -> list[str]:
    """Return the names of the blocks and of the layer that a parameter is in, and its own."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


class Grouped:
    """A network's say in which of its parameters are trained, and how differently.

    `Assembled`, which is one, fills the fields.
    """

    __slots__ = ("_compiled", "_frozen", "_innermost", "_names", "_rule")

    _names: tuple[str, ...]
    _innermost: list[str]
    _frozen: frozenset[str]
    _rule: Rule | None
    _compiled: Compiled | None

    if TYPE_CHECKING:

        @property
        def built(self) -> Built: ...

    @property
    def groups(self) -> MappingProxyType[str, Group]:
        """{layer or parameter: Group}, as `compile` was told."""
        return MappingProxyType(dict(self._compiled.groups if self._compiled else ()))

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the layers that training leaves as they are; of a block, those in it."""
        return tuple(name for name in self._innermost if name in self._frozen)

    def freeze(self, *layers: str) -> None:
        """Have training leave the weights of some layers as they are; of all, if none is named.

        The gradients are still computed, and the optimizer's state of these weights stays too.
        Frozen weights do not count in a norm that gradients are cut by.

        Parameters
        ----------
        *layers : str
            Names, as in `parameters` before the last dot. The name of a block such as
            `cnet.Residual` stands for all layers in it, "residual_1.dense_1" for one of them.

        Raises
        ------
        ValueError
            For an unknown name; nothing changes then.
        """
        self._frozen |= self._named(layers)
        if self._rule is not None:
            self._apply_freezing(self._rule)

    def unfreeze(self, *layers: str) -> None:
        """Have training change the weights of some layers again; of all, if none is named.

        Raises
        ------
        ValueError
            For an unknown name; nothing changes then.
        """
        self._frozen -= self._named(layers)
        if self._rule is not None:
            self._apply_freezing(self._rule)

    def _named(self, layers: Sequence[str]) -> frozenset[str]:
        return frozenset(named(layers, self._names, self._innermost) or self._innermost)

    def _apply_freezing(self, rule: Rule) -> None:
        rule.freeze([p.layer in self._frozen for p in self.built.program.parameters])

"""Typed settings: the base classes of every block of the configuration.

Each room of the library keeps the settings of its own block beside the code that uses them. A block that chooses by
name (``use``) keeps the options of each choice under that choice's name, so that environments can be merged over one
another. Pydantic checks plain data once: a block that is handed on is not checked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry, describe_validation, unknown_name

B = TypeVar("B", bound=BaseModel)
Positive = Annotated[float, Field(gt=0)]


class Block(BaseModel):
    """A block of parameters: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def chosen_values(self) -> dict[str, Any]:
        """The parameters as plain data for a tracker; each choice with the options of its chosen entry only."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: v.chosen_values() if isinstance(v, Block) else v for name, v in fields.items()}

    def settled(self) -> Self:
        """The same block; each choice holds its chosen entry only, with all options of that entry."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_copy(update={name: v.settled() for name, v in fields.items() if isinstance(v, Block)})


class Choice(Block):
    """A block that chooses one entry of a registry by name.

    A choice is checked when it is made. Where its registry imports torch, :meth:`check` is called before a run that
    trains, because other runs and commands must not wait for that import.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    # Full name of the registry, e.g. beatwise.data.splits.SPLITS: it is imported when it is first needed.
    registry: ClassVar[str]
    needs_torch: ClassVar[bool] = False

    use: str = Field(description="Name of the chosen entry.")

    @classmethod
    def entries(cls) -> Registry[Any]:
        """The registry."""
        module, _, name = cls.registry.rpartition(".")
        entries: Registry[Any] = getattr(import_module(module), name)
        return entries

    @model_validator(mode="wrap")
    @classmethod
    def _check_once(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            raise ValueError(
                f"got {given!r}; a choice is made by `use`: {{use: {given}}}, or .use={given} behind --params."
            )
        made = handler(given)
        if not cls.needs_torch:
            made.check()
        return made

    @property
    def names(self) -> list[str]:
        """Names of the chosen entries."""
        return [self.use]

    def check(self, key: str = "") -> None:
        """Check the names, and the options of every entry that has some, chosen or not; messages begin with ``key``.

        Raises:
            BeatwiseError: On an unknown entry, an unknown option, or a value that is not allowed.
        """
        entries, given = self.entries(), self.model_extra or {}
        for name in [*self.names, *given]:
            if name not in entries:
                message = unknown_name(entries.kind, name, entries.names())
                raise BeatwiseError(f"{key}: {message}" if key else message)
        for name, options in given.items():
            entries.options(name, {} if options is None else options, f"{key}.{name}".strip("."))

    @property
    def options(self) -> dict[str, Any]:
        """The options of the chosen entry, defaults filled in."""
        return self.entries().options(self.use, (self.model_extra or {}).get(self.use) or {}, self.use)

    def chosen_values(self) -> dict[str, Any]:
        """See the base class."""
        given = self.model_extra or {}
        return {**super().chosen_values(), **{name: given.get(name) or {} for name in self.names}}

    def settled(self) -> Self:
        """See the base class."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        options: dict[str, Any] = dict(self.in_order())
        made: Any = type(self).model_construct(**fields, **options)
        return made

    def in_order(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and options of each chosen entry, defaults filled in."""
        given, entries = self.model_extra or {}, self.entries()
        return [(name, entries.options(name, given.get(name) or {}, name)) for name in self.names]


class Choices(Choice):
    """A block that chooses any number of entries of a registry by name."""

    use: list[str] = Field([], description="Names of the chosen entries in order; behind `--params` joined by `+`.")  # type: ignore[assignment]

    @field_validator("use", mode="before")
    @classmethod
    def _split(cls, use: Any) -> Any:
        return split_names(use)

    @property
    def names(self) -> list[str]:
        """Names of the chosen entries."""
        return list(self.use)

    def chosen_values(self) -> dict[str, Any]:
        """See the base class."""
        return {**super().chosen_values(), "use": "+".join(self.use)}


def split_names(given: Any) -> Any:
    """Names joined by ``+`` as a list: ``--params`` splits at commas, so that no list can be given there."""
    return [name.strip() for name in given.split("+") if name.strip()] if isinstance(given, str) else given


class Presets(Block):
    """A block that chooses one of the presets below it by name; all of them are checked."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    kind: ClassVar[str]
    preset: ClassVar[type[Block]]

    use: str = Field(description="Name of the preset.")

    @model_validator(mode="wrap")
    @classmethod
    def _check_once(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(given, cls):
            return given
        made = handler(given)
        presets = made.__pydantic_extra__ or {}
        if made.use not in presets:
            raise BeatwiseError(unknown_name(cls.kind, made.use, presets))
        for name, preset in presets.items():
            try:
                presets[name] = cls.preset.model_validate(preset)
            except ValidationError as error:
                raise BeatwiseError(describe_validation(error, name, cls.preset)) from error
        return made

    @property
    def chosen(self) -> Any:
        """The chosen preset."""
        return (self.model_extra or {})[self.use]


def overridden(model: type[BaseModel] | None, base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes over them: single parameters of a block, and mappings that are one value as a whole.

    A class map, a search space or the models of a comparison is closed: one that had entries of another in it would be
    neither.

    Args:
        model: The model of the settings; None for the options of a choice.
        base: The settings, plain data.
        changes: Those of an environment.
    """
    out = dict(base)
    for key, value in changes.items():
        below: Any = None
        if model and key in model.model_fields:
            below = model.model_fields[key].annotation
        elif model and issubclass(model, Presets):
            below = model.preset
        is_block = below is None or (isinstance(below, type) and issubclass(below, BaseModel))
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = overridden(below, out[key], value) if both and is_block else value
    return out


def checked(model: type[B], given: dict[str, Any], heading: str, kind: str = "parameter") -> B:
    """Check plain data against its model; the message begins with the heading, and calls a key ``kind``.

    Raises:
        BeatwiseError: One line a problem, each naming the full key.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise BeatwiseError(f"{heading}\n{describe_validation(error, '', model, kind)}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem of a stored document: the key, if any, and what is wrong."""
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))

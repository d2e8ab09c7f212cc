"""Typed settings: the base classes of every block of the configuration, and how a block is checked.

Each room of the library keeps the settings of its own block beside the code that uses them. A block that chooses by
name (``use``) keeps the options of each choice under that choice's name, so that environments can be merged over one
another.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry, describe_validation, unknown_name

B = TypeVar("B", bound=BaseModel)
Positive = Annotated[float, Field(gt=0)]


class Block(BaseModel):
    """A block of parameters: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def chosen_values(self) -> dict[str, Any]:
        """The parameters as plain data for a tracker; of a choice, the options of what was chosen alone."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: v.chosen_values() if isinstance(v, Block) else v for name, v in fields.items()}


class Choice(Block):
    """A block that chooses one entry of a registry by name."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    registry: ClassVar[Registry[Any] | None] = None

    use: str = Field(description="Name of the chosen entry.")

    @model_validator(mode="before")
    @classmethod
    def _say_use(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise ValueError(
                f"got {given!r}; a choice is made by `use`: {{use: {given}}}, or .use={given} behind --params."
            )
        return given

    @model_validator(mode="after")
    def _check_against_registry(self) -> Self:
        if self.registry is not None:
            self.check(self.registry)
        return self

    def check(self, registry: Registry[Any], key: str = "") -> None:
        """Check the choice and the options of every entry that has some.

        Args:
            registry: Of what can be chosen.
            key: Where the choice stands in the configuration, for the message.

        Raises:
            BeatwiseError: On an unknown entry, an unknown option, or a value that is not allowed.
        """
        registry[self.use]
        self._check_options(registry, key)

    def _check_options(self, registry: Registry[Any], key: str) -> None:
        for name, options in (self.model_extra or {}).items():
            if name not in registry:
                raise BeatwiseError(unknown_name(registry.kind, name, registry.names()))
            registry.options(name, {} if options is None else options, f"{key}.{name}".strip("."))

    def chosen(self, registry: Registry[Any]) -> dict[str, Any]:
        """The options of the chosen entry, checked, defaults filled in."""
        given = (self.model_extra or {}).get(self.use)
        return registry.options(self.use, {} if given is None else given, self.use)

    def chosen_values(self) -> dict[str, Any]:
        """As for every block."""
        return {**super().chosen_values(), self.use: (self.model_extra or {}).get(self.use) or {}}

    @property
    def options(self) -> dict[str, Any]:
        """The options of the chosen entry, for choices whose registry is known."""
        assert self.registry is not None
        return self.chosen(self.registry)


class Choices(Choice):
    """A block that chooses any number of entries of a registry by name."""

    use: list[str] = Field([], description="Names of the chosen entries in order; behind `--params` joined by `+`.")  # type: ignore[assignment]

    @field_validator("use", mode="before")
    @classmethod
    def _split(cls, use: Any) -> Any:
        # `--params` splits at commas, so that a list cannot be given there.
        return [name.strip() for name in use.split("+") if name.strip()] if isinstance(use, str) else use

    def check(self, registry: Registry[Any], key: str = "") -> None:
        """As for every choice, for each of the chosen entries."""
        for name in self.use:
            registry[name]
        self._check_options(registry, key)

    def chosen_in_order(self, registry: Registry[Any]) -> list[tuple[str, dict[str, Any]]]:
        """Name and options of each chosen entry, checked, defaults filled in."""
        given = self.model_extra or {}
        return [(name, registry.options(name, given.get(name) or {}, name)) for name in self.use]

    def chosen_values(self) -> dict[str, Any]:
        """As for every block."""
        given = self.model_extra or {}
        return {"use": "+".join(self.use), **{name: given.get(name) or {} for name in self.use}}


class Presets(Block):
    """A block that chooses one of the presets below it by name; those that are not chosen are checked too."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    kind: ClassVar[str]
    preset: ClassVar[type[Block]]

    use: str = Field(description="Name of the preset.")

    @model_validator(mode="after")
    def _check_presets(self) -> Self:
        presets = self.model_extra or {}
        if self.use not in presets:
            raise BeatwiseError(unknown_name(self.kind, self.use, presets))
        for name, preset in presets.items():
            try:
                self.preset.model_validate(preset)
            except ValidationError as error:
                raise BeatwiseError(describe_validation(error, name, self.preset)) from error
        return self

    @property
    def chosen_preset(self) -> Any:
        """The chosen preset as plain data."""
        return (self.model_extra or {})[self.use]


def checked(model: type[B], given: dict[str, Any], heading: str, kind: str = "parameter") -> B:
    """Check plain data against its model.

    Args:
        model: The model.
        given: The data.
        heading: First line of the message.
        kind: What a key is called in the message.

    Raises:
        BeatwiseError: One line a problem, each naming the full key.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise BeatwiseError(f"{heading}\n{describe_validation(error, '', model, kind)}") from error

"""Things chosen by name: a registry whose entries' keyword-only signatures are their configuration schema.

Models, resampling strategies, splits and representations are all registered the same way, so that a new one is a
single decorated function or class, and so that an unknown name or option fails with a message that lists the known
ones.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from beatwise.core.errors import BeatwiseError

T = TypeVar("T", bound=Callable[..., Any])
# How many names a message guesses at most.
MOST_MEANT = 8


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """The message for an unknown name: the given name, a similar known one, and all known names."""
    options, given = sorted(known), str(name)
    # `resnet` may be any of the resnets, and `train_model` that of any namespace.
    meant = [option for option in options if option.startswith(given) or option.endswith(f".{given}")]
    if not 0 < len(meant) <= MOST_MEANT:
        meant = difflib.get_close_matches(given, options, n=1)
    hint = f" Did you mean {' or '.join(map(repr, meant))}?" if meant else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(options) or 'none'}."


def describe_validation(error: ValidationError, prefix: str, schema: type[BaseModel], kind: str = "parameter") -> str:
    """One line a problem: the full key, what was wrong with it, and the value given.

    Args:
        error: What Pydantic raised.
        prefix: The key above the validated block, e.g. ``"train"``.
        schema: The model, whose keys are suggested for a mistyped one.
        kind: Word for a key.
    """
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join([prefix, *map(str, problem["loc"])]).strip(".")
        if problem["type"] == "extra_forbidden":
            *above, last = problem["loc"]
            lines.append(f"{key}: {unknown_name(kind, last, _fields(schema, above))}")
        elif problem["type"] == "value_error":
            text = str(problem["ctx"]["error"])
            # The options of a choice name the key from the choice on.
            lines.append(f"{key}.{text}" if re.match(r"[\w.]+: ", text) else f"{key}: {text}")
        else:
            lines.append(f"{key}: {problem['msg']}; got {problem['input']!r}.")
    return "\n".join(lines)


def _fields(schema: Any, above: Iterable[int | str]) -> list[str]:
    """Names of the fields of the block that stands at a place within a schema."""
    for step in above:
        # The type of the items of a list or mapping is its last argument.
        schema = schema.model_fields[step].annotation if hasattr(schema, "model_fields") else get_args(schema)[-1]
    return list(schema.model_fields)


class Registry(Generic[T]):
    """Named functions or classes, each with options typed by its keyword-only parameters."""

    def __init__(self, kind: str, supplied: Iterable[str] = ()) -> None:
        """Start an empty registry.

        Args:
            kind: Word for an entry in messages, e.g. ``"resampling strategy"``.
            supplied: Keyword-only parameters that the caller supplies, so they are not options.
        """
        self.kind = kind
        self._supplied = frozenset(supplied)
        self._entries: dict[str, T] = {}
        # Made once an entry: a search checks hundreds of configurations.
        self._schemas: dict[str, type[BaseModel]] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate a function or class to make it known under ``name``."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise BeatwiseError(f"The {self.kind} {name!r} is registered twice.")
            self._entries[name] = entry
            return entry

        return add

    def names(self) -> list[str]:
        """The known names, in the order they were registered."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise BeatwiseError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def schema(self, name: str) -> type[BaseModel]:
        """The Pydantic model of an entry's options, made from its keyword-only signature.

        Raises:
            BeatwiseError: If the name is unknown.
        """
        if name in self._schemas:
            return self._schemas[name]
        entry = self[name]
        function = entry.__init__ if inspect.isclass(entry) else entry
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {
            p.name: (hints[p.name], ... if p.default is p.empty else p.default)
            for p in inspect.signature(function).parameters.values()
            if p.kind is p.KEYWORD_ONLY and p.name not in self._supplied
        }
        config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
        made: type[BaseModel] = create_model(name, __config__=config, **fields)
        self._schemas[name] = made
        return made

    def taken(self, name: str, **supplied: Any) -> dict[str, Any]:
        """Those of the parameters that the caller supplies which an entry takes."""
        return {
            key: value for key, value in supplied.items() if key in inspect.signature(self._entries[name]).parameters
        }

    def options(self, name: str, given: Mapping[str, Any], key: str = "") -> dict[str, Any]:
        """Check the options of one entry, and fill in what was left out; messages name them by ``key``.

        Raises:
            BeatwiseError: If the name or an option is unknown, or a value is of the wrong type or out of bounds.
        """
        schema = self.schema(name)
        if not isinstance(given, Mapping):
            raise BeatwiseError(f"{key or name}: got {given!r}; allowed: the options of the {self.kind} by name.")
        try:
            return schema.model_validate(dict(given)).model_dump()
        except ValidationError as error:
            raise BeatwiseError(describe_validation(error, key or name, schema)) from error

from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest
from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry, unknown_name
from beatwise.data.representations import REPRESENTATIONS
from beatwise.data.resampling import STRATEGIES
from beatwise.data.splits import SPLITS
from beatwise.ecg.segmentation import RULES
from beatwise.networks.zoo import MODELS

REGISTRIES: list[Registry[Any]] = [STRATEGIES, SPLITS, REPRESENTATIONS, RULES, MODELS]


@pytest.fixture
def registry() -> Registry[Any]:
    registry: Registry[Any] = Registry("filter", supplied=["seed"])

    @registry.register("median")
    def median(values: list[float], *, seed: int, width: Annotated[int, Field(ge=1)] = 3, mode: str = "edge") -> None:
        """A function with options."""

    @registry.register("needs")
    class Needs:
        def __init__(self, *, seed: int, order: int) -> None:
            self.order = order

    return registry


def test_options_fill_in_defaults_and_keep_what_is_given(registry):
    assert registry.options("median", {"width": 5}) == {"width": 5, "mode": "edge"}


def test_what_the_caller_supplies_is_no_option(registry):
    with pytest.raises(BeatwiseError, match=r"^median\.seed: Unknown parameter 'seed'\. Known: mode, width\.$"):
        registry.options("median", {"seed": 1})


def test_a_class_gives_its_constructor_as_schema(registry):
    assert registry.options("needs", {"order": 2}) == {"order": 2}
    with pytest.raises(BeatwiseError, match=r"needs\.order: Field required"):
        registry.options("needs", {})


def test_an_option_out_of_bounds_is_named_with_its_full_key_and_the_known_options(registry):
    with pytest.raises(BeatwiseError) as caught:
        registry.options("median", {"width": 0, "size": 4}, "clean.median")
    assert str(caught.value).splitlines() == [
        "clean.median.width: Input should be greater than or equal to 1; got 0.",
        "clean.median.size: Unknown parameter 'size'. Known: mode, width.",
    ]


def test_a_misspelt_option_gets_a_suggestion(registry):
    with pytest.raises(BeatwiseError, match=r"Unknown parameter 'widht'\. Did you mean 'width'\? Known: mode, width\."):
        registry.options("median", {"widht": 4})


def test_an_unknown_name_gets_a_suggestion_and_the_known_names(registry):
    with pytest.raises(
        BeatwiseError, match=r"Unknown filter 'mediam'\. Did you mean 'median'\? Known: median, needs\."
    ):
        registry["mediam"]
    with pytest.raises(BeatwiseError, match="Unknown filter"):
        registry.options("x", {})


def test_a_name_that_resembles_nothing_gets_no_suggestion():
    assert unknown_name("filter", "zzzz", ["b", "a"]) == "Unknown filter 'zzzz'. Known: a, b."


def test_a_name_is_registered_once(registry):
    with pytest.raises(BeatwiseError, match="The filter 'median' is registered twice"):
        registry.register("median")(lambda: None)


def test_names_keep_the_order_of_registration(registry):
    assert registry.names() == ["median", "needs"]
    assert "median" in registry
    assert "mean" not in registry


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_every_entry_is_documented_allows_its_own_defaults_and_refuses_an_unknown_option(registry):
    for name in registry.names():
        assert inspect.getdoc(registry[name])
        defaults = registry.options(name, {})
        assert registry.options(name, defaults) == defaults
        with pytest.raises(BeatwiseError) as caught:
            registry.options(name, {"no_such_option": 1}, f"block.{name}")
        known = ", ".join(sorted(defaults)) or "none"
        assert str(caught.value) == f"block.{name}.no_such_option: Unknown parameter 'no_such_option'. Known: {known}."

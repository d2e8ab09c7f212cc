from __future__ import annotations

from typing import Any

import pytest
import yaml

from beatwise.core.nested import merged
from beatwise.data.representations import Fitted, representation
from beatwise.data.settings import Resample, Tensors
from beatwise.networks.settings import Model
from beatwise.params import check_parameters
from beatwise.report.rebuild import fit_as_yaml, network_as_python
from beatwise.tasks.classification.task import Classification
from beatwise.training.fit import fit_settings
from beatwise.training.settings import Augment, Train
from beatwise.training.trained_model import TrainedModel
from tests.conftest import CLASSES, TASK
from tests.networks.cases import OPTIONS, TRAINED, build
from tests.test_params import load


def config_of(name: str, **options: Any) -> dict[str, Any]:
    train = Train(epochs=3, learning_rate=1e-05, augment=Augment(use=["shift", "noise"]), sampler_power=0.1 + 0.2)
    resample, tensors = Resample(use="smote"), Tensors(use="auto")
    return fit_settings(TASK, 7, resample, tensors, Model(use=name, **{name: options}), train).model_dump(mode="json")


@pytest.mark.parametrize("name", TRAINED)
def test_the_lines_when_executed_build_a_network_of_the_same_weights(name: str) -> None:
    for options in OPTIONS[name]:
        check_lines(name, options)


def check_lines(name: str, options: dict[str, Any]) -> None:
    network, shape = build(name, aux=2, **options)
    fitted = Fitted((187,), ("a", "b"), ("a", "b"), (0.0, 0.0), (1.0, 1.0))
    seen, task = representation("signal", {}).with_fitted(fitted), Classification(classes=tuple(CLASSES))
    model = TrainedModel(network, shape, seen, task, config_of(name, **options), [], {})
    made: dict[str, Any] = {}
    exec(network_as_python(model.to_dict()), made)
    ours = {name: weight.shape for name, weight in network.state_dict().items()}
    assert {name: weight.shape for name, weight in made["network"].state_dict().items()} == ours


@pytest.mark.parametrize("name", ["resnet1d", "vit"])
def test_the_parameters_in_a_file_of_an_environment_configure_the_same_fit(name: str) -> None:
    config = config_of(name)
    given = check_parameters(merged(load("mitbih"), yaml.safe_load(fit_as_yaml(config))))
    again = fit_settings(TASK, 7, given.resample, given.tensors, given.model, given.train).model_dump(mode="json")
    assert again == config

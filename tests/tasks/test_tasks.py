"""What every task promises."""

from __future__ import annotations

import json

import numpy as np
import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.tasks.base import Task
from beatwise.tasks.classification.task import Classification, classes_of
from beatwise.tasks.registry import TASKS
from beatwise.tasks.regression.task import Regression
from beatwise.training.settings import Train

EXAMPLES: dict[str, tuple[Task, list[float]]] = {
    "classification": (Classification(classes=("N", "S", "V")), [0, 2, 1, 1]),
    "regression": (Regression(), [0.5, 2.5, 1, 7]),
}


@pytest.mark.parametrize("name", TASKS.names())
def test_a_task_encodes_targets_and_comes_back_from_json(name):
    task, target = EXAMPLES[name]
    task = task.fitted(target)
    assert task.name == name
    assert task.n_outputs >= 1
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    y = task.encode(target)
    assert y.shape == (4,)
    assert y.flags.writeable
    with pytest.raises(BeatwiseError, match="target: 1 of 4"):
        task.encode([*target[:3], np.nan])


@pytest.mark.parametrize("wrong", [-1, 3, 0.5, np.inf])
def test_a_class_that_does_not_exist_is_refused(wrong):
    with pytest.raises(BeatwiseError, match="allowed: 0 to 2 for N, S, V"):
        Classification(classes=("N", "S", "V")).encode([0, wrong])


def test_a_classification_takes_no_loss_and_no_metric_of_a_regression():
    task = Classification(classes=("N", "S"))
    task.check(Train(), "smote")
    with pytest.raises(BeatwiseError, match=r"train\.loss: mse is no loss of a classification; allowed: cross_entropy"):
        task.check(Train.model_validate({"loss": {"use": "mse"}}), "none")
    with pytest.raises(BeatwiseError, match=r"train\.monitor: r2 is no metric of a classification; allowed: accuracy"):
        task.check(Train(monitor="r2"), "none")
    with pytest.raises(BeatwiseError, match="This needs class labels, and the task is regression"):
        classes_of(Regression())

"""A trained model as MLflow serves it: a table of examples in, a table of predictions out.

MLflow runs this file to make the model ("models from code"), so nothing is pickled.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.types import ColSpec, Schema

if TYPE_CHECKING:
    from beatwise.training.trained_model import TrainedModel

# Without a list, MLflow runs the model to find out what it imports, which takes seconds.
REQUIREMENTS = ("numpy", "pandas", "pydantic", "pywavelets", "safetensors", "torch")


class ServedModel(mlflow.pyfunc.PythonModel):
    """Takes one row an example: its values as columns "0", "1", …, and the features that the model was trained with.

    An example of more than one dimension is given row by row, in the order of its last dimension.
    """

    def load_context(self, context: Any) -> None:
        """Read the model."""
        from beatwise.training.trained_model import read_model

        self._model = read_model(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row an example, float32: one probability a class, or what else the task predicts."""
        from beatwise.data.examples import Examples

        model, fitted = self._model, self._model.representation.fitted
        values = model_input[_value_columns(fitted.shape)].to_numpy(np.float32)
        features = model_input[list(fitted.features)].reset_index(drop=True)
        examples = Examples(np.ascontiguousarray(values).reshape(-1, *fitted.shape), features)
        decoded = model.decoded(model.tensors(examples))
        return pd.DataFrame(decoded, columns=_output_columns(model), index=model_input.index)


def _value_columns(shape: tuple[int, ...]) -> list[str]:
    return [str(i) for i in range(math.prod(shape))]


def _output_columns(model: TrainedModel) -> list[str]:
    """Names of the classes, or ``prediction`` where the task has none."""
    return list(model.task.class_names or ("prediction",))


def log_model(name: str, folder: Path, model: TrainedModel) -> None:
    """Log a saved model to the active MLflow run, with its signature."""
    fitted = model.representation.fitted
    columns = [*_value_columns(fitted.shape), *fitted.features]
    signature = ModelSignature(
        inputs=Schema([ColSpec("float", column) for column in columns]),
        outputs=Schema([ColSpec("float", column) for column in _output_columns(model)]),
    )
    mlflow.pyfunc.log_model(
        name=name,
        python_model=__file__,
        artifacts={"model": str(folder)},
        signature=signature,
        input_example=pd.DataFrame(np.full((1, len(columns)), 0.5, dtype=np.float32), columns=columns),
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        # The package is stored with the model, so that serving it needs no clone of the project.
        code_paths=[str(Path(__file__).parent)],
    )


set_model(ServedModel())

"""A trained model as MLflow serves it: a table of beats in, one probability a class out.

MLflow runs this file to make the model ("models from code"), so nothing is pickled.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.types import ColSpec, Schema

from beatwise.tasks.classification.task import classes_of

if TYPE_CHECKING:
    from beatwise.training.trained_model import TrainedModel

# Without a list, MLflow runs the model to find out what it imports, which takes seconds.
REQUIREMENTS = ("numpy", "pandas", "pydantic", "pywavelets", "safetensors", "torch")


class BeatsClassifier(mlflow.pyfunc.PythonModel):
    """Takes beats as a source holds them: columns "0" …, and the RR columns where the model was trained with them."""

    def load_context(self, context: Any) -> None:
        """Read the model."""
        from beatwise.training.trained_model import read_model

        self._model = read_model(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict.

        Args:
            context: Not used.
            model_input: Beats table; ``target`` is not needed.
            params: Not used.

        Returns:
            One probability a class and row, float32.
        """
        from beatwise.ecg.beats import examples_of

        model = self._model
        probability = model.probabilities(model.tensors(examples_of(model_input)))
        return pd.DataFrame(probability, columns=list(classes_of(model.task)), index=model_input.index)


def log_model(name: str, folder: Path, model: TrainedModel) -> None:
    """Log a saved model to the active MLflow run, with its signature.

    Args:
        name: Name in the run.
        folder: Where the model was saved.
        model: The model.
    """
    columns = [str(i) for i in range(model.representation.fitted.shape[0])]
    columns += model.representation.fitted.features
    signature = ModelSignature(
        inputs=Schema([ColSpec("float", column) for column in columns]),
        outputs=Schema([ColSpec("float", label) for label in classes_of(model.task)]),
    )
    mlflow.pyfunc.log_model(
        name=name,
        python_model=__file__,
        artifacts={"model": str(folder)},
        signature=signature,
        input_example=pd.DataFrame(np.full((1, len(columns)), 0.5, dtype=np.float32), columns=columns),
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        # The package travels with the model: whoever serves it needs no clone of the project.
        code_paths=[str(Path(__file__).parent)],
    )


set_model(BeatsClassifier())

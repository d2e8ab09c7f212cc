"""A scorer as MLflow serves it: a table of examples in, a table of predictions out.

MLflow runs this file to make the model ("models from code"), so nothing is pickled.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.types import ColSpec, Schema

if TYPE_CHECKING:
    from beatwise.scoring.scorer import Scorer

# Without a list, MLflow runs the model to find out what it imports, which takes seconds.
REQUIREMENTS = ("numpy", "pandas", "pydantic", "pywavelets", "safetensors", "torch")
# Where the files of the scorer lie in those of the logged model.
FILES: Final = "scorer"


class ServedModel(mlflow.pyfunc.PythonModel):
    """Takes one row an example: its values as columns "0", "1", …, and the features that the model was trained with.

    An example of more than one dimension is given row by row, in the order of its last dimension.
    """

    def load_context(self, context: Any) -> None:
        """Read the scorer."""
        from beatwise.scoring.scorer import read_scorer

        self._scorer = read_scorer(Path(context.artifacts[FILES]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row an example: the columns of ``Scorer.predict``."""
        from beatwise.data.examples import Examples

        fitted = self._scorer.model.representation.fitted
        values = model_input[_value_columns(fitted.shape)].to_numpy(np.float32)
        features = model_input[list(fitted.features)].reset_index(drop=True)
        examples = Examples(np.ascontiguousarray(values).reshape(-1, *fitted.shape), features)
        return self._scorer.predict(examples).set_index(model_input.index)


def _value_columns(shape: tuple[int, ...]) -> list[str]:
    return [str(i) for i in range(math.prod(shape))]


def _outputs(scorer: Scorer) -> list[ColSpec]:
    if not scorer.classes:
        return [ColSpec("float", "prediction")]
    labels = [ColSpec("string", "class"), ColSpec("string", "recall_first"), ColSpec("boolean", "unsure")]
    return labels + [ColSpec("float", f"probability_{name}") for name in scorer.classes]


def log_model(name: str, folder: Path, scorer: Scorer) -> str:
    """Log a saved scorer to the active MLflow run, with its signature; return the ID of the logged model."""
    fitted = scorer.model.representation.fitted
    columns = [*_value_columns(fitted.shape), *fitted.features]
    logged = mlflow.pyfunc.log_model(
        name=name,
        python_model=__file__,
        artifacts={FILES: str(folder)},
        # A table that pandas has read from a text holds float64, which MLflow does not take for float32.
        signature=ModelSignature(
            inputs=Schema([ColSpec("double", column) for column in columns]), outputs=Schema(_outputs(scorer))
        ),
        input_example=pd.DataFrame(np.full((1, len(columns)), 0.5), columns=columns),
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        # The package is stored with the model, so that serving it needs no clone of the project.
        code_paths=[str(Path(__file__).parent)],
    )
    return str(logged.model_id)


set_model(ServedModel())

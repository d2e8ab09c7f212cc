"""Classifiers that a comparison shows for reference: not networks, and not part of the zoo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from beatwise.core.registry import Registry
from beatwise.data.representations import TensorSet

Probabilities = npt.NDArray[np.float32]
REFERENCES: Registry[Callable[..., Callable[[TensorSet], Probabilities]]] = Registry("reference", supplied=["seed"])


@REFERENCES.register("gradient_boosting")
def gradient_boosting(
    train: TensorSet,
    val: TensorSet,
    *,
    seed: int,
    iterations: Annotated[int, Field(ge=1)] = 200,
    learning_rate: Annotated[float, Field(gt=0)] = 0.1,
) -> Callable[[TensorSet], Probabilities]:
    """Boosted trees on the samples of the beat, scikit-learn's HistGradientBoostingClassifier.

    Args:
        train: Training part.
        val: Validation part; ends the boosting when it no longer gains.
        seed: Seed.
        iterations: Trees a class, at most.
        learning_rate: Shrinkage.

    Returns:
        Maps tensors to probabilities ``float32 [n, n_classes]``.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    booster = HistGradientBoostingClassifier(
        max_iter=iterations, learning_rate=learning_rate, early_stopping=True, n_iter_no_change=10, random_state=seed
    )
    # A class that was not trained on cannot be scored.
    known = np.isin(val.y, train.y)
    booster.fit(_features(train), train.y, X_val=_features(val)[known], y_val=val.y[known])
    n_classes = len(train.spec.classes)

    def probabilities(tensors: TensorSet) -> Probabilities:
        # A class without training beats has no column of its own.
        out = np.zeros((len(tensors.y), n_classes), dtype=np.float32)
        out[:, booster.classes_] = booster.predict_proba(_features(tensors))
        return out

    return probabilities


def _features(tensors: TensorSet) -> npt.NDArray[Any]:
    return np.hstack([tensors.x.reshape(len(tensors.x), -1), tensors.aux])

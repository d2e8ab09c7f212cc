"""A trained model with all that is needed to use it on raw beats again.

Nodes name this class in their signatures, which Kedro reads at start: so importing it must not import torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.versions import FORMAT, check_format
from beatwise.data.examples import Examples
from beatwise.data.representations import Representation
from beatwise.tasks.base import Task
from beatwise.tasks.classification.task import classes_of
from beatwise.tasks.settings import Evaluate
from beatwise.tasks.tensors import TensorSet, build_tensors

if TYPE_CHECKING:
    import torch

    from beatwise.networks.base import Network


WEIGHTS, CONFIG, HELD_OUT = "weights.safetensors", "config.json", "held_out.npy"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network, how it was made, and how to make its input: enough to use it on beats and to report on it.

    Attributes:
        network: The network with its trained weights.
        input_shape: Shape of one beat of its input, ``(c, t)`` or ``(c, height, width)``.
        representation: How examples become its input, with what was fitted on train.
        task: Its task.
        config: The settings of its fit, ``FitSettings`` as plain data.
        history: One row an epoch.
        metadata: Best epoch, number of parameters, class counts that it was trained on, fingerprint of the validation
            part; where they were counted, the ``moves`` of validation beats between right and wrong (see
            ``count_moves``); and of a model that was trained again with validation (``train.refit``), ``refit``.
        held_out: Of such a model, decoded predictions of validation by the first training, which has not seen it,
            ``float32 [n_val, n_outputs]``; None of any other.
    """

    network: Network
    input_shape: tuple[int, ...]
    representation: Representation
    task: Task
    config: dict[str, Any]
    history: list[dict[str, float]]
    metadata: dict[str, Any]
    held_out: npt.NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """The model's name in the registry."""
        return self.config["model"]["use"]

    @property
    def refit(self) -> dict[str, Any]:
        """Epochs, examples and seconds of the training on train and validation; empty where there was none."""
        found: dict[str, Any] = self.metadata.get("refit", {})
        return found

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights and configuration, to check whether metrics belong to this model."""
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for name, weight in self.network.state_dict().items():
            digest.update(name.encode() + weight.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """All but the weights, as plain data for JSON."""
        return {
            "format": FORMAT,
            "input_shape": list(self.input_shape),
            "representation": self.representation.to_dict(),
            "task": self.task.to_dict(),
            "config": self.config,
            "history": self.history,
            "metadata": self.metadata,
        }

    @classmethod
    def from_dict(
        cls,
        stored: dict[str, Any],
        weights: dict[str, torch.Tensor],
        held_out: npt.NDArray[np.float32] | None = None,
    ) -> TrainedModel:
        """The inverse of :meth:`to_dict`, with the weights and held-out predictions.

        Raises:
            RuntimeError: If the weights are not those of the model.
        """
        import torch

        from beatwise.networks.zoo import build_model

        representation = Representation.from_dict(stored["representation"])
        task = Task.from_dict(stored["task"])
        shape, model = tuple(stored["input_shape"]), stored["config"]["model"]
        with torch.random.fork_rng():
            network = build_model(
                model["use"],
                input_shape=shape,
                n_outputs=task.n_outputs,
                n_aux=len(representation.feature_names),
                **(model.get(model["use"]) or {}),
            )
        network.load_state_dict(weights)
        described = (stored["config"], stored["history"], stored["metadata"])
        return cls(network.eval(), shape, representation, task, *described, held_out)

    def check_split(self, val_fingerprint: str) -> None:
        """Refuse beats that have been split differently since the model was trained.

        Raises:
            BeatwiseError: If they are not those of the training.
        """
        if val_fingerprint != self.metadata["val_fingerprint"]:
            raise BeatwiseError(
                "The beats have been split differently since this model was trained, so today's test beats may be "
                "among those it was trained on. Run `kedro run --pipeline=ingest` with the split and seed of the "
                "model's own run first."
            )

    def tensors(self, examples: Examples) -> TensorSet:
        """Examples as this model takes them.

        Raises:
            BeatwiseError: If they are of another shape, or lack features that the model was trained with.
        """
        return build_tensors(examples, self.representation, self.task)

    def predict(self, tensors: TensorSet) -> pd.DataFrame:
        """Predict every example of tensors made by :meth:`tensors` once.

        Returns:
            One row an example, in order: the columns of the task (``Task.prediction_table``), and the
            group, time, record and sample of the examples where they are known.

        Raises:
            BeatwiseError: If the tensors were made for another model.
        """
        return _as_table(tensors, self.decoded(tensors))

    def probabilities(self, tensors: TensorSet) -> npt.NDArray[np.float32]:
        """Probabilities of a classification, ``float32 [n, n_classes]``; rows add up to 1.

        Raises:
            BeatwiseError: If the model is no classification, or the tensors were made for another model.
        """
        classes_of(tensors.task)
        return self.decoded(tensors)

    def predict_held_out(self, val_tensors: TensorSet, test_tensors: TensorSet) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Predict validation and test, once; validation as a model did that was not trained on it.

        Raises:
            BeatwiseError: If the examples have been split differently since the model was trained.
        """
        self.check_split(val_tensors.fingerprint)
        val = self.predict(val_tensors) if self.held_out is None else _as_table(val_tensors, self.held_out)
        return val, self.predict(test_tensors)

    def measure(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> dict[str, Any]:
        """Every metric from the stored predictions, see ``Task.measure``; ``model``, its fingerprint; ``shape``."""
        shape = list(self.representation.fitted.shape)
        return {
            "model": self.fingerprint,
            "shape": shape,
            **self.task.measure(val_predictions, predictions, evaluate, seed),
        }

    def assess(
        self, val_predictions: pd.DataFrame, predictions: pd.DataFrame, evaluate: Evaluate, seed: int
    ) -> dict[str, Any]:
        """Further results from the stored predictions, see ``Task.assess``."""
        return self.task.assess(val_predictions, predictions, evaluate, seed)

    def find_mistakes(
        self, predictions: pd.DataFrame, test_beats: Examples, evaluate: Evaluate, sample_rate: float | None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The worst mistakes, and where errors are frequent, see ``Task.find_mistakes``."""
        return self.task.find_mistakes(predictions, test_beats, evaluate, sample_rate)

    def compare_with_baseline(
        self,
        baseline_predictions: pd.DataFrame,
        predictions: pd.DataFrame,
        baseline_metrics: dict[str, Any],
        metrics: dict[str, Any],
        evaluate: Evaluate,
        seed: int,
    ) -> dict[str, Any]:
        """Whether this model, the best of a search, is better than the baseline: ``Task.compare_with_baseline``."""
        monitor = self.config["train"]["monitor"] or self.task.default_monitor
        pair, measured = (baseline_predictions, predictions), (baseline_metrics, metrics)
        return self.task.compare_with_baseline(pair, measured, monitor, evaluate, seed)

    def decoded(self, tensors: TensorSet) -> npt.NDArray[np.float32]:
        """Predictions as their task decodes them, ``float32 [n, n_outputs]``: probabilities of classes, or numbers.

        Raises:
            BeatwiseError: If the tensors were made for another model.
        """
        import torch

        from beatwise.networks.predict import in_chunks
        from beatwise.training.settings import Loss

        if tensors.representation != self.representation or tensors.task != self.task:
            raise BeatwiseError(
                "These tensors were made for another model than the one that is to predict them. Run the pipeline from "
                "`build_tensors` on, or `kedro run --pipeline=evaluate`."
            )

        outputs = in_chunks(self.network, self.network, torch.from_numpy(tensors.x), torch.from_numpy(tensors.aux))
        return tensors.task.decode(outputs, Loss.model_validate(self.config["train"]["loss"]))


def _as_table(tensors: TensorSet, decoded: npt.NDArray[np.float32]) -> pd.DataFrame:
    table = tensors.task.prediction_table(tensors.y, decoded)
    return pd.concat([table, tensors.table], axis="columns")


def rebuild_tensors(model: TrainedModel, val_beats: Examples, *others: Examples) -> list[TensorSet]:
    """The tensors of validation and of other parts that a stored model takes, whatever is configured now.

    Raises:
        BeatwiseError: If the beats have been split differently since the model was trained: the test part may now
            hold beats that the model was trained on.
    """
    model.check_split(val_beats.fingerprint)
    return [model.tensors(part) for part in (val_beats, *others)]


def write_model(folder: Path, model: TrainedModel) -> None:
    """Write a model into an empty folder: its weights, ``config.json`` and, if it has them, held-out predictions."""
    from safetensors.torch import save_file

    # Weights that are views of one another cannot be stored: each is made a tensor of its own.
    weights = {name: weight.contiguous().clone() for name, weight in model.network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(model.to_dict(), indent=2), encoding="utf-8")
    if model.held_out is not None:
        np.save(folder / HELD_OUT, model.held_out)


def read_model(folder: Path) -> TrainedModel:
    """Read a model from its folder with ``weights.safetensors`` and ``config.json``.

    Raises:
        BeatwiseError: If a file is missing, damaged or of another version, or the weights are not those of the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        check_format(stored, folder / CONFIG, "Train the model again, or load another version with --load-versions.")
        held_out = np.load(folder / HELD_OUT) if "refit" in stored["metadata"] else None
        return TrainedModel.from_dict(stored, load_file(folder / WEIGHTS), held_out)
    except BeatwiseError:
        raise
    except (OSError, KeyError, TypeError, ValueError, SafetensorError, RuntimeError) as error:
        raise BeatwiseError(
            f"The model in {folder.absolute()} cannot be read ({error}). Train it again, or load another version with "
            "--load-versions."
        ) from error

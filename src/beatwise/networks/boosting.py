"""Gradient-boosted decision trees: scikit-learn fits them, a network holds and walks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import GROUP
from beatwise.networks.base import MODELS, SelfFitting
from beatwise.tasks.tensors import TensorSet

# Boosting ends after so many rounds without a gain on validation.
PATIENCE: Final = 10


class Trees(nn.Module):
    """Decision trees, round by round, whose leaves add up to the outputs.

    A child is the number of an inner node, or ``~i`` for leaf ``i``; nodes and leaves are numbered over all trees. What
    was learned is double precision and counts as parameters.

    Attributes:
        feature: The feature that each inner node compares, ``int64 [n_nodes]``.
        threshold: The value up to which it leads to the left.
        left: The child on the left.
        right: The child on the right.
        missing_left: Whether a missing value leads to the left, ``bool [n_nodes]``.
        root: The first node of each tree, ``int64 [n_trees]``.
        column: The output to which each tree of a round adds.
        leaf: Values of all leaves.
        base: Outputs before the first round, ``[n_outputs]``; -∞ for a class without training examples.
        depth: Inner nodes on the longest way to a leaf.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    missing_left: Tensor
    root: Tensor
    column: Tensor
    leaf: Tensor
    base: Tensor
    depth: int = 0

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        for name in ("feature", "left", "right", "root", "column"):
            self.register_buffer(name, torch.empty(0, dtype=torch.int64))
        self.register_buffer("missing_left", torch.empty(0, dtype=torch.bool))
        for name, length in {"threshold": 0, "leaf": 0, "base": n_outputs}.items():
            values = torch.zeros(length, dtype=torch.float64)
            self.register_parameter(name, nn.Parameter(values, requires_grad=False))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The number of nodes and leaves comes from the loaded state.
        for name, held in (*self.named_parameters(), *self.named_buffers()):
            held.data = held.new_empty(state_dict[prefix + name].shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
        # A fixed number of steps can be exported; a loop that looks at the values cannot.
        self.depth, nodes = 0, self.root
        while len(nodes := nodes[nodes >= 0]):
            self.depth, nodes = self.depth + 1, torch.cat([self.left[nodes], self.right[nodes]])

    def hold(self, trees: Sequence[npt.NDArray[np.void]], columns: npt.NDArray[np.int64], base: Tensor) -> None:
        """Take over fitted trees.

        Args:
            trees: Nodes of each tree, as scikit-learn keeps them, round by round.
            columns: The output to which each tree of a round adds.
            base: Outputs before the first round, ``float64 [n_outputs]``.
        """
        nodes = np.concatenate(trees)
        begin = np.cumsum([0, *map(len, trees)])
        offset = np.repeat(begin[:-1], np.diff(begin))
        is_leaf = nodes["is_leaf"].astype(bool)
        number = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
        inner = nodes[~is_leaf]
        state = {
            "feature": inner["feature_idx"].astype(np.int64),
            "threshold": inner["num_threshold"],
            "left": number[(nodes["left"] + offset)[~is_leaf]],
            "right": number[(nodes["right"] + offset)[~is_leaf]],
            "missing_left": inner["missing_go_to_left"].astype(bool),
            "root": number[begin[:-1]],
            "column": columns,
            "leaf": nodes["value"][is_leaf],
        }
        self.load_state_dict(
            {**{name: torch.from_numpy(values.copy()) for name, values in state.items()}, "base": base}
        )

    def leaves(self, x: Tensor, root: Tensor) -> Tensor:
        """The values of the leaves that examples reach.

        Args:
            x: ``float [n, f]``.
            root: First nodes of some trees, ``int64 [n_trees]``.

        Returns:
            ``float64 [n, n_trees]``.
        """
        x, node = x.double(), root.expand(x.shape[0], -1)
        for _ in range(self.depth):
            at = node.clamp(min=0)
            value = x.gather(1, self.feature[at])
            to_left = (value <= self.threshold[at]) | (value.isnan() & self.missing_left[at])
            node = torch.where(node >= 0, torch.where(to_left, self.left[at], self.right[at]), node)
        return self.leaf[~node]

    def rounds(self, x: Tensor) -> Iterator[Tensor]:
        """Outputs ``float64 [n, n_outputs]`` after each round."""
        outputs = self.base.repeat(x.shape[0], 1)
        for root in torch.split(self.root, max(len(self.column), 1)):
            outputs = outputs.index_add(1, self.column, self.leaves(x, root))
            yield outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, f]`` to outputs ``float64 [n, n_outputs]``."""
        outputs = self.base.repeat(x.shape[0], 1)
        # A product with ones and zeros is exact; ONNX loses sums that index_add makes in a loop.
        place = (self.column[:, None] == torch.arange(len(self.base), device=x.device)).double()
        # One round after the other, as scikit-learn adds them: another order would round differently.
        for values in torch.split(self.leaves(x, self.root), max(len(self.column), 1), dim=1):
            outputs = outputs + values @ place
        return outputs


@MODELS.register("gradient_boosting")
class GradientBoosting(SelfFitting):
    """Boosted decision trees on the values of the representation and the auxiliary features.

    A round adds one tree a class, or one for a number. Boosting ends after ``iterations`` rounds, or when validation no
    longer gains. The weight of an example is n_class^-``class_power`` · n_(group, class)^-``group_power``, so that
    neither the largest class nor one patient with many beats of a class decides alone.
    """

    layout = "any"
    source = "Ke et al., NeurIPS 2017; scikit-learn"

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        iterations: Annotated[int, Field(ge=1)] = 200,
        learning_rate: Annotated[float, Field(gt=0)] = 0.1,
        leaves: Annotated[int, Field(ge=2)] = 31,
        l2: Annotated[float, Field(ge=0)] = 0.0,
        share: Annotated[float, Field(gt=0, le=1)] = 1.0,
        patience: Annotated[int, Field(ge=1)] | None = PATIENCE,
        features_only: bool = False,
        class_power: Annotated[float, Field(ge=0, le=1)] = 0.0,
        group_power: Annotated[float, Field(ge=0, le=1)] = 0.0,
    ) -> None:
        """Choose how the trees grow.

        Args:
            input_shape: Shape of one example without the batch axis.
            iterations: Most rounds.
            learning_rate: Factor of what a tree adds.
            leaves: Most leaves of a tree.
            l2: Penalty on large values of the leaves.
            share: Share of the columns that a split chooses from.
            patience: Rounds without a gain on validation after which boosting ends; null never ends early.
            features_only: Whether the trees see the features alone and not the values of the representation.
            class_power: Power of the weight by class: 0 weighs all examples alike, 1 all classes. Classes only, not
                numbers; validation, which may end the boosting, is not weighted.
            group_power: Power of the weight by group (patient) and class, likewise.
        """
        super().__init__()
        self.iterations, self.learning_rate, self.patience = iterations, learning_rate, patience
        self.growth = {"max_leaf_nodes": leaves, "l2_regularization": l2, "max_features": share}
        self.features_only, self.class_power, self.group_power = features_only, class_power, group_power

    def add_head(self, n_outputs: int, n_aux: int) -> None:
        """Make room for the trees, which need no head.

        Raises:
            BeatwiseError: If they are to see features alone, and there are none.
        """
        if self.features_only and not n_aux:
            raise BeatwiseError(
                "model.gradient_boosting.features_only: these examples bring no features, or tensors.features leaves "
                "them out. Set it to false, or use a source with features."
            )
        self.trees = Trees(n_outputs)

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Map ``float32 [n, *input_shape]`` and auxiliary features ``[n, n_aux]`` to outputs ``float64``."""
        return self.trees(self._seen(x, aux))

    def penultimate(self, x: Tensor, aux: Tensor) -> Tensor:
        """The value that each tree adds, ``float32 [n, n_trees]``."""
        return self.trees.leaves(self._seen(x, aux), self.trees.root).float()

    def rounds(self, x: Tensor, aux: Tensor) -> Iterator[Tensor]:
        """Outputs ``float64 [n, n_outputs]`` after each round."""
        return self.trees.rounds(self._seen(x, aux))

    def _seen(self, x: Tensor, aux: Tensor) -> Tensor:
        return aux if self.features_only else torch.cat([x.flatten(1), aux], dim=1)

    def _columns(self, tensors: TensorSet) -> npt.NDArray[Any]:
        if self.features_only:
            return tensors.aux
        return np.hstack([tensors.x.reshape(len(tensors.x), -1), tensors.aux])

    def _weights(self, tensors: TensorSet) -> npt.NDArray[np.float64] | None:
        """The weight of each example, 1 on average; None where all are alike."""
        if not (self.class_power or self.group_power):
            return None
        if self.group_power and GROUP not in tensors.table:
            raise BeatwiseError(
                "model.gradient_boosting.group_power: these examples have no groups. Set it to 0, or use a source "
                "that knows the patients."
            )
        label = pd.Series(tensors.labels)
        weight = label.map(label.value_counts()).to_numpy(np.float64) ** -self.class_power
        if self.group_power:
            cell = [tensors.table[GROUP].to_numpy(), label.to_numpy()]
            # Examples without a group, which resampling has made, are one group together.
            weight *= label.groupby(cell, dropna=False).transform("size").to_numpy(np.float64) ** -self.group_power
        return weight / weight.mean()

    def fit(self, train: TensorSet, val: TensorSet, seed: int, *, rounds: int | None = None) -> list[float]:
        """Fit scikit-learn's HistGradientBoostingClassifier or -Regressor and take over its trees.

        Args:
            train: Training part.
            val: Validation part; ends the boosting when it no longer gains.
            seed: Seed.
            rounds: Number of rounds, which validation then does not end; None lets it.

        Returns:
            The log loss, or half the squared error of standardised numbers, on the training part after each round;
            empty with ``rounds``.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        has_classes = np.issubdtype(train.labels.dtype, np.integer)
        booster = (HistGradientBoostingClassifier if has_classes else HistGradientBoostingRegressor)(
            max_iter=rounds or self.iterations,
            learning_rate=self.learning_rate,
            early_stopping=rounds is None,
            n_iter_no_change=self.patience or self.iterations,
            random_state=seed,
            **self.growth,
        )
        scored = {}
        if rounds is None:
            # A class that is not in the training part cannot be scored.
            known = np.isin(val.labels, train.labels) if has_classes else np.full(len(val.labels), fill_value=True)
            scored = {"X_val": self._columns(val)[known], "y_val": val.labels[known]}
        weights = self._weights(train) if has_classes else None
        booster.fit(self._columns(train), train.labels, sample_weight=weights, **scored)
        grown = booster._predictors
        # Two classes share one tree a round, which adds to the output of the second one.
        columns = booster.classes_[-len(grown[0]) :] if has_classes else np.zeros(1, np.int64)
        base = torch.full_like(self.trees.base, -torch.inf)
        base[booster.classes_ if has_classes else columns] = 0.0
        base[columns] = torch.from_numpy(booster._baseline_prediction[0])
        self.trees.hold([tree.nodes for trees in grown for tree in trees], columns, base)
        return [-float(score) for score in booster.train_score_[1:]]

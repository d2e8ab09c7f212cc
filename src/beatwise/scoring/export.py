"""The network of a scorer as one ONNX file, which runtimes in other languages read, checked against torch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.scoring import NOTICE
from beatwise.tasks.regression.task import Regression
from beatwise.training.settings import Loss

if TYPE_CHECKING:
    from beatwise.scoring.scorer import Scorer
    from beatwise.training.trained_model import TrainedModel

# What the file may differ from torch: absolutely, and relative to numbers above 1.
TOLERANCE: Final = 1e-5
# Examples that both predict, one at a time and together.
CHECKED: Final = 64
# The operators that a runtime has to know (ONNX Runtime 1.14 and later do).
OPSET: Final = 18


class Decoded(nn.Module):
    """A network with what its task and loss make of its outputs: probabilities, or a number in its unit."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.network = model.network
        self.loss = model.task.loss(Loss.model_validate(model.config["train"]["loss"]))
        task = model.task
        self.scale, self.shift = (task.sd, task.mean) if isinstance(task, Regression) else (1.0, 0.0)

    def forward(self, x: Tensor, aux: Tensor | None = None) -> Tensor:
        """Map ``float32 [n, *input_shape]`` and features ``[n, f]``, where there are some, to ``[n, n_outputs]``."""
        decoded = self.loss.decode(self.network(x, x.new_zeros(x.shape[0], 0) if aux is None else aux))
        return (decoded * self.scale + self.shift).float()


def export_scorer(scorer: Scorer, file: Path) -> str:
    """Write the network of a scorer as ONNX, if ONNX Runtime computes from the file what torch does.

    The input ``x`` ``float32 [n, *input_shape]`` is what the model's representation makes of examples, ``aux``
    ``float32 [n, f]`` their standardised features, where it has some (``TrainedModel.tensors`` makes both). The output
    is ``probabilities`` ``float32 [n, n_classes]``, or ``prediction`` ``[n, 1]``. The properties of the file hold the
    version and the facts of the scorer, its representation, and its task with the classes, as JSON.

    Args:
        scorer: The scorer.
        file: Where to.

    Returns:
        What was written, in words.

    Raises:
        BeatwiseError: If a package of the extra ``export`` is missing, the network has a step that ONNX does not know,
            or the file gives other numbers; nothing is written then.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise BeatwiseError(
            f"Export needs the package {error.name}: pip install 'beatwise[export]', or in a clone of the project "
            "pip install -c constraints.txt -e '.[export]'."
        ) from error

    model = scorer.model
    inputs, module = _examples(model), Decoded(model).eval()
    tensors = tuple(map(torch.from_numpy, inputs.values()))
    output, n = "probabilities" if scorer.classes else "prediction", torch.export.Dim("n")
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                module,
                tuple(tensor[:3] for tensor in tensors),
                input_names=list(inputs),
                output_names=[output],
                dynamic_shapes=tuple({0: n} for _ in tensors),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        program.model.metadata_props.update(_properties(scorer))
        with written_whole(file) as scratch:
            program.save(scratch, external_data=False)
            session = onnxruntime.InferenceSession(scratch)
            rows = [slice(None), *(slice(i, i + 1) for i in range(3))]
            found = [session.run([output], {name: x[part] for name, x in inputs.items()})[0] for part in rows]
            with torch.inference_mode():
                wanted = np.concatenate([module(*(tensor[part] for tensor in tensors)).numpy() for part in rows])
            worst = float((np.abs(np.concatenate(found) - wanted) / np.maximum(np.abs(wanted), 1)).max())
            # NaN is a difference, too.
            if not worst <= TOLERANCE:
                raise BeatwiseError(
                    f"ONNX Runtime computes numbers from the file that differ from those of torch by up to "
                    f"{worst:.1e}; {TOLERANCE:.0e} is allowed."
                )
    except (BeatwiseError, OSError):
        raise
    # The exporter and the runtime raise errors of many kinds, whose first line names the step.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise BeatwiseError(f"The network {model.name} cannot be expressed in ONNX: {reason}") from error
    shapes = [f"{name} [{', '.join(map(str, ('n', *x.shape[1:])))}]" for name, x in inputs.items()]
    return (
        f"{model.name} of {scorer.source}, version {scorer.version}; {' and '.join(shapes)} to {output} "
        f"[n, {wanted.shape[1]}]; within {worst:.0e} of torch on {CHECKED} examples."
    )


def _examples(model: TrainedModel) -> dict[str, npt.NDArray[np.float32]]:
    """Random inputs by name: values in [0, 1] with padding of any length behind, one example of zeros; features."""
    rng, fitted = np.random.default_rng(0), model.representation.fitted
    x = rng.random((CHECKED, *fitted.shape), dtype=np.float32)
    length = x.shape[-1]
    ends = rng.integers(length // 2, length + 1, CHECKED)
    ends[1] = 0
    x *= np.arange(length) < ends.reshape(-1, *(1,) * (x.ndim - 1))
    inputs = {"x": np.ascontiguousarray(model.representation.transform(x))}
    if n_features := len(fitted.feature_names):
        inputs["aux"] = rng.standard_normal((CHECKED, n_features), dtype=np.float32)
    return inputs


def _properties(scorer: Scorer) -> dict[str, str]:
    facts, model = scorer.to_dict(), scorer.model
    facts.pop("reference")
    described = {"representation": model.representation.to_dict(), "task": model.task.to_dict(), "scorer": facts}
    return {"notice": NOTICE, "version": scorer.version, **{name: json.dumps(v) for name, v in described.items()}}


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporter says of its own progress, of packages that it does not need, and of its graphs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

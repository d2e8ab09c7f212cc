"""The fit template."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.fit import nodes
from beatwise.training.fit import fit_settings, fit_tensors, resample_train

# Inputs that all namespaces share.
SHARED = {"train_beats", "val_beats", "test_beats", "checkpoints"}
# The parameters of a fit, by the names of the arguments.
CONFIGURED = {name: f"params:{name}" for name in ("task", "seed", "resample", "tensors", "model", "train")}


def create_configure(namespace: str) -> Pipeline:
    """Parameters into the configuration of a fit."""
    configure = Node(
        fit_settings,
        inputs=CONFIGURED,
        outputs="config",
        name="configure_fit",
        tags="configure",
    )
    return Pipeline([configure], namespace=namespace, parameters=set(CONFIGURED.values()))


def create_fit(namespace: str) -> Pipeline:
    """Beats and a configuration into a model."""
    template = Pipeline(
        [
            Node(
                resample_train,
                inputs=["train_beats", "config"],
                outputs="resampled_beats",
                name="resample_train",
                tags="resample",
            ),
            Node(
                fit_tensors,
                inputs=["resampled_beats", "train_beats", "config", "val_beats", "test_beats"],
                outputs=["train_tensors", "val_tensors", "test_tensors"],
                name="build_tensors",
                tags="tensors",
            ),
            Node(
                nodes.train,
                inputs=["train_tensors", "val_tensors", "train_beats", "val_beats", "config", "checkpoints"],
                outputs=["model", "history", "val_history"],
                name="train_model",
                tags="train",
            ),
        ]
    )
    return Pipeline(template, namespace=namespace, inputs=SHARED)


def create_pipeline() -> Pipeline:
    """The baseline's fit, from stored train, validation and test beats."""
    return create_configure("baseline") + create_fit("baseline")

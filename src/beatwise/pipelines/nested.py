"""Nested namespaces: a stage of a template is a namespace of its nodes, and leaves the names of datasets alone."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline


def stage(namespace: str, *nodes: Node) -> Pipeline:
    """Put nodes into a namespace that the names of their datasets and parameters are not in.

    Within the namespace of a template a stage is one box of kedro-viz, e.g. ``baseline.evaluate``, and its datasets
    are called ``baseline.metrics``, not ``baseline.evaluate.metrics``.
    """
    flat = Pipeline(list(nodes))
    parameters = {name for name in flat.inputs() if name.startswith("params:")}
    return Pipeline(
        flat,
        namespace=namespace,
        inputs=flat.inputs() - parameters,
        outputs=flat.all_outputs(),
        parameters=parameters,
    )


def template(stages: Pipeline, namespace: str, shared: set[str], **renamed: dict[str, str]) -> Pipeline:
    """Put stages into the namespace of a model.

    Args:
        stages: Nodes and stages.
        namespace: Whose datasets they make, e.g. ``baseline``.
        shared: Inputs that all namespaces share.
        **renamed: ``inputs`` and ``outputs`` whose names are not those in the namespace.
    """
    given, inputs = stages.inputs(), renamed.get("inputs", {})
    return Pipeline(
        stages,
        namespace=namespace,
        inputs={**{name: name for name in shared & given}, **{k: v for k, v in inputs.items() if k in given}},
        outputs=renamed.get("outputs"),
        parameters={name for name in given if name.startswith("params:")},
    )

"""The registered pipelines: one for each package in ``beatwise.pipelines``, and the default."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by name, or only those that the command asks for.

    Returns:
        ``__default__`` is ``tune``: raw beats to report, with a search in the middle.
    """
    pipelines = find_pipelines(raise_errors=True)
    if "__default__" in pipelines:
        pipelines["__default__"] = pipelines["tune"]
    return pipelines

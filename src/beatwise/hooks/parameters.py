"""Parameters are checked before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from beatwise.core.errors import BeatwiseError
from beatwise.hooks.selection import check_inputs

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

# Parameters that are taken from globals.yml, where the catalog takes them from as well.
FIXED_BY_SOURCE = {"source", "classes", "sample_rate", "task"}


class ParameterHooks:
    """Refuses unknown and mistyped parameters, in files and in ``--params``, whichever pipeline runs."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the whole configuration.

        Raises:
            BeatwiseError: One line a problem.
        """
        from beatwise.params import check_globals, check_parameters

        check_globals(context.config_loader["globals"])
        # Not context.params: Kedro would check that first, block by block, with messages of its own.
        given = context.config_loader["parameters"]
        fixed = sorted(FIXED_BY_SOURCE & set(context.config_loader.runtime_params or {}))
        if fixed:
            raise BeatwiseError(
                f"{', '.join(fixed)}: cannot be set by --params, because the catalog depends on it too. Set it in "
                "globals.yml of an environment, and run with --env."
            )
        self._parameters = check_parameters(given)
        # Kedro and the other hooks take the checked blocks from here: nothing is read, merged or checked again.
        context.config_loader["parameters"] = {
            name: getattr(self._parameters, name) for name in type(self._parameters).model_fields
        }

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog, run_params: dict[str, Any]) -> None:
        """Check what only some pipelines need: results of others, options of model and training, a Ray cluster.

        Raises:
            BeatwiseError: If a result of another pipeline is missing, a choice or an option is unknown, a value is not
                allowed, or no cluster is at the address.
        """
        check_inputs(pipeline, catalog, run_params)
        if any("configure" in node.tags for node in pipeline.nodes):
            from beatwise.training.fit import check_fit

            given = self._parameters
            check_fit(given.model, given.train, given.tensors)
            fit = (given.resample, given.tensors, given.model, given.train)
            if any("compare" in node.tags for node in pipeline.nodes):
                from beatwise.comparison.plan import plan_rows

                plan_rows(given.compare, given.task, *fit, given.ingest)
            if any("tune" in node.tags for node in pipeline.nodes):
                from beatwise.search.plan import plan_search

                plan_search(given.tune, given.task, given.seed, *fit)
        if "params:ray" in pipeline.inputs() and self._parameters.ray.address is not None:
            from beatwise.search.engine import check_address

            # A baseline is trained first, and may take an hour.
            check_address(self._parameters.ray.address)

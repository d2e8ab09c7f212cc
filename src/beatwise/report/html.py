"""The report: one HTML file with everything in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from beatwise.figures.style import DPI, to_png
from beatwise.params import flatten
from beatwise.report.tables import overall_table, per_class_table


def render_report(
    *,
    title: str,
    notice: str,
    source: str,
    model: Mapping[str, Any],
    metrics: Mapping[str, Any],
    data_summary: Mapping[str, Any],
    figures: Mapping[str, Figure | bytes],
) -> str:
    """Render the report.

    Args:
        title: Its title.
        notice: A sentence above everything else; empty for none.
        source: Name of the data source.
        model: ``TrainedModel.to_dict()``.
        metrics: What :func:`beatwise.evaluation.predictions.measure_predictions` returned.
        data_summary: What :func:`beatwise.evaluation.data_summary.summarise_data` returned.
        figures: Figures by name, as drawn or as PNG.

    Returns:
        HTML that needs no other file and no network.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("beatwise.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("template.html").render(
        title=title,
        notice=notice,
        source=source,
        config=model["config"],
        settings=flatten(model["config"]),
        model=model,
        overall=overall_table(metrics),
        per_class=per_class_table(metrics),
        metrics=metrics,
        data=data_summary,
        figures={name: _embed(figure) for name, figure in figures.items()},
    )


def _embed(figure: Figure | bytes) -> dict[str, Any]:
    png = to_png(figure) if isinstance(figure, Figure) else figure
    # The width in pixels stands at bytes 16 to 20 of every PNG; in the report an inch of a figure is 96 CSS pixels.
    width = int.from_bytes(png[16:20], "big") * 96 // DPI
    return {"source": "data:image/png;base64," + base64.b64encode(png).decode("ascii"), "width": width}

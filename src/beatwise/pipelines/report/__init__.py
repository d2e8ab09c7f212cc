"""Pipeline `report`: figures and the report; a template, once per namespace."""

from beatwise.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]

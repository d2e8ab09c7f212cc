"""Kedro pipelines: thin nodes over the library, one package a registered pipeline."""

"""Custom Kedro datasets and the data contracts of the catalog."""

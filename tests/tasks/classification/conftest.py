from tests.training.conftest import parts  # noqa: F401

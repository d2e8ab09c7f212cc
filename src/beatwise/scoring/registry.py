"""The scorers of a source in MLflow's registry: numbered versions, one of which is the champion.

A version is a logged model of MLflow. The alias ``champion`` names the one that scores by default; a tag of the
registered model keeps the versions that have had it, so that one can go back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from beatwise.core.errors import BeatwiseError
from beatwise.scoring.scorer import Scorer, read_scorer

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION: Final = "champion"
PREFIX: Final = "beatwise-"
# Tag of a registered model: the versions that were champion before the current one, the latest last.
EARLIER: Final = "beatwise.earlier_champions"
# Files of the scorer among those of the logged model.
FILES: Final = "artifacts/scorer"


@dataclass(frozen=True)
class Registered:
    """A version of a registered scorer.

    Attributes:
        number: Number of the version.
        made: When it was registered.
        scorer: ``Scorer.version``.
        model: Name of its model, e.g. ``cnn1d``.
        fitted: Namespace that it comes from: ``baseline`` or ``tuned``.
    """

    number: int
    made: datetime
    scorer: str
    model: str
    fitted: str

    def __str__(self) -> str:
        return f"version {self.number} ({', '.join(filter(None, (self.fitted, self.model)))})"


class ScorerRegistry:
    """The registered scorers of one source, in the tracking store that MLflow uses.

    Every method raises ``BeatwiseError`` where that store cannot be reached, or has no registry.
    """

    def __init__(self, source: str, uri: str | None = None) -> None:
        """Name the source, and the tracking store where it is not MLflow's current one."""
        self.source, self.name, self._uri = source, f"{PREFIX}{source}", uri

    @property
    def _client(self) -> MlflowClient:
        import mlflow

        return mlflow.MlflowClient(self._uri)

    # --- versions

    def register(self, scorer: Scorer, model_id: str, run_id: str, fitted: str) -> Registered:
        """Make a logged scorer a version, unless an equal scorer is one already; return the version.

        Args:
            scorer: The scorer.
            model_id: ID of its logged model.
            run_id: ID of the MLflow run that logged it.
            fitted: Namespace that it comes from.
        """
        from mlflow.exceptions import MlflowException

        with self._asked():
            client = self._client
            try:
                client.create_registered_model(self.name, description=f"Scorers of the source {self.source}.")
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            if equal := [one for one in self.versions() if one.scorer == scorer.version]:
                return equal[0]
            tags = {"scorer": scorer.version, "fitted": fitted, "model": scorer.model.name}
            made = client.create_model_version(self.name, f"models:/{model_id}", run_id, tags, model_id=model_id)
            return _registered(made)

    def versions(self) -> list[Registered]:
        """All versions, the latest first."""
        with self._asked():
            found: list[ModelVersion] = []
            token: str | None = ""
            while token is not None:
                page = self._client.search_model_versions(f"name='{self.name}'", page_token=token or None)
                found, token = [*found, *page], page.token or None
        return sorted(map(_registered, found), key=lambda one: one.number, reverse=True)

    def version(self, number: int) -> Registered:
        """The version of a number.

        Raises:
            BeatwiseError: If there is none.
        """
        there = {one.number: one for one in self.versions()}
        if number not in there:
            known = ", ".join(map(str, sorted(there))) or "none"
            raise BeatwiseError(f"{self.name} has no version {number}. Known: {known}.")
        return there[number]

    def load(self, registered: Registered) -> Scorer:
        """Read the scorer of a version; where a server keeps it, its files are fetched, read and removed.

        Raises:
            BeatwiseError: If it cannot be read.
        """
        import mlflow

        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        if self._uri is not None:
            # MLflow looks up a version in its current store, whatever store it is given.
            mlflow.set_tracking_uri(self._uri)
        uri = f"models:/{self.name}/{registered.number}/{FILES}"
        with self._asked(), TemporaryDirectory() as folder:
            return read_scorer(Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder)))

    # --- the champion

    def champion(self) -> Registered | None:
        """The champion; None where there is none."""
        with self._asked():
            now, _ = self._champions()
        return None if now is None else self.version(now)

    def crown(self, registered: Registered) -> None:
        """Make a version the champion."""
        with self._asked():
            now, earlier = self._champions()
            if now != registered.number:
                earlier = [number for number in (*earlier, now) if number not in (None, registered.number)]
                self._remember(earlier)
                self._set_champion(registered.number)

    def step_back(self) -> Registered:
        """Make the champion before the current one the champion again, and return it.

        Raises:
            BeatwiseError: If there was none.
        """
        there = {one.number: one for one in self.versions()}
        with self._asked():
            _, earlier = self._champions()
            earlier = [number for number in earlier if number in there]
            if not earlier:
                raise BeatwiseError(f"{self.name} has had no champion before this one, so there is none to go back to.")
            self._set_champion(earlier[-1])
            self._remember(earlier[:-1])
        return there[earlier[-1]]

    def _champions(self) -> tuple[int | None, list[int]]:
        """Numbers of the champion, which someone may have changed in MLflow's pages, and of those before it."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None, []
        now = found.aliases.get(CHAMPION)
        number = None if now is None else int(now)
        return number, [int(one) for one in found.tags.get(EARLIER, "").split() if int(one) != number]

    def _set_champion(self, number: int) -> None:
        self._client.set_registered_model_alias(self.name, CHAMPION, str(number))

    def _remember(self, earlier: list[int]) -> None:
        self._client.set_registered_model_tag(self.name, EARLIER, " ".join(map(str, earlier)))

    def _asked(self) -> AbstractContextManager[None]:
        return _asked(self._uri)


def sources_with_champion(uri: str) -> list[str]:
    """The sources in a tracking store that have a champion.

    Raises:
        BeatwiseError: If the store cannot be reached, or has no registry.
    """
    import mlflow

    with _asked(uri):
        found = mlflow.MlflowClient(uri).search_registered_models(f"name LIKE '{PREFIX}%'")
    return sorted(model.name.removeprefix(PREFIX) for model in found if CHAMPION in model.aliases)


@contextmanager
def _asked(uri: str | None) -> Iterator[None]:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        yield
    except BeatwiseError:
        raise
    except (MlflowException, OSError) as error:
        raise BeatwiseError(
            f"MLflow's registry at {uri or mlflow.get_tracking_uri()} cannot be used "
            f"({str(error).partition(chr(10))[0][:200]})."
        ) from error


def _registered(version: ModelVersion) -> Registered:
    tags: Mapping[str, Any] = version.tags or {}
    return Registered(
        number=int(version.version),
        made=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        scorer=tags.get("scorer", ""),
        model=tags.get("model", ""),
        fitted=tags.get("fitted", ""),
    )

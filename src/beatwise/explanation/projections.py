"""Projections of many dimensions onto a plane, by name.

The parameter models import this module at start-up, so it must not import scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Final

from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import Registry
from beatwise.data.examples import Array

PROJECTIONS: Registry[Callable[..., Array]] = Registry("projection", supplied=["seed"])
# Optional libraries: their names in Python and on the package index, by projection.
OPTIONAL: Final[Mapping[str, tuple[str, str]]] = {"umap": ("umap", "umap-learn")}
# Number of principal components that t-SNE gets, as in van der Maaten & Hinton.
DIMENSIONS: Final = 50


@PROJECTIONS.register("pca")
def project_pca(features: Array, *, seed: int) -> Array:
    """The two principal components, ``float32 [n, 2]``."""
    from sklearn.decomposition import PCA

    return PCA(2, random_state=seed).fit_transform(features)


@PROJECTIONS.register("tsne")
def project_tsne(features: Array, *, seed: int, perplexity: Annotated[float, Field(gt=1)] = 30.0) -> Array:
    """t-SNE (van der Maaten & Hinton, JMLR 2008), initialised with the principal components, ``float32 [n, 2]``.

    The perplexity is at most a third of the number of beats.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    few = PCA(min(DIMENSIONS, *features.shape), random_state=seed).fit_transform(features)
    at_most = max((len(features) - 1) / 3, 1.0)
    # The order of sums over threads is random; one thread gives reproducible results.
    with threadpool_limits(1):
        return TSNE(2, perplexity=min(perplexity, at_most), init="pca", random_state=seed, n_jobs=1).fit_transform(few)


@PROJECTIONS.register("umap")
def project_umap(
    features: Array,
    *,
    seed: int,
    n_neighbors: Annotated[int, Field(ge=2)] = 15,
    min_dist: Annotated[float, Field(ge=0, le=1)] = 0.1,
) -> Array:
    """UMAP (McInnes, Healy & Melville, arXiv 1802.03426), ``float32 [n, 2]``; needs umap-learn."""
    check_installed("umap")
    n_neighbors = min(n_neighbors, len(features) - 1)
    projection = import_module("umap").UMAP(n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed, n_jobs=1)
    return projection.fit_transform(features)


def check_installed(projection: str) -> None:
    """Check that the library of a projection is installed.

    Raises:
        BeatwiseError: If it is not.
    """
    module, package = OPTIONAL.get(projection, ("", ""))
    if module and find_spec(module) is None:
        raise BeatwiseError(
            f"The projection {projection!r} needs the package {package}, which is not installed. Install it with "
            f"`pip install {package}`, or leave {projection} out of explain.projections.use."
        )

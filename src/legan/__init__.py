"""LEGAN on Ray: change lighting and expression of face images; train, compare, serve and augment."""

from typing import TYPE_CHECKING

from legan._version import __version__

if TYPE_CHECKING:
    from legan.serve.engine import Engine

__all__ = ["__version__", "load"]


def load(source: str) -> "Engine":
    """Load a trained model from a run, a model folder, or an MLflow URI such as ``models:/legan@champion``.

    >>> import legan
    >>> engine = legan.load("model")
    >>> engine.schema.expressions, engine.schema.lightings, engine.image_size
    (('neutral', 'smile'), ('left', 'front', 'right'), 32)

    Raises CheckpointError for a folder that is no model, TrackingError for a URI the store does not know.
    """
    from legan.serve.engine import load_engine

    return load_engine(source)

"""LEGAN on Ray: change lighting and expression of face images; train, compare, serve and augment.

What programs may import from here: ``load`` for a model in this process, ``Client`` and ``AsyncClient`` for a server,
``open_dataset`` for a data set, ``read_image``, and ``LeganError``, which all errors that a user can cause are.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legan._version import __version__

if TYPE_CHECKING:
    from legan.platform.data.dataset import open_dataset
    from legan.platform.data.image import read_image
    from legan.platform.errors import LeganError
    from legan.serve.client import AsyncClient, Client
    from legan.serve.loaded import LoadedModel

__all__ = ["AsyncClient", "Client", "LeganError", "__version__", "load", "open_dataset", "read_image"]

_PLACES = {
    "AsyncClient": "legan.serve.client",
    "Client": "legan.serve.client",
    "LeganError": "legan.platform.errors",
    "open_dataset": "legan.platform.data.dataset",
    "read_image": "legan.platform.data.image",
}


def load(source: str | Path, device: str | None = None) -> "LoadedModel":
    """Load a trained model: a run, a model folder, an MLflow URI such as ``models:/legan@champion``, or ``box:rendered``.

    >>> import legan
    >>> model = legan.load("model")
    >>> model.schema.expressions, model.schema.lightings, model.image_size
    (('neutral', 'smile'), ('left', 'front', 'right'), 32)
    >>> smiling = model.translate("photo.jpg", expression="smile", lighting="left")

    On the GPU where there is one, unless ``device`` says otherwise. Raises CheckpointError for a folder that is no model,
    TrackingError for a URI the store does not know.
    """
    from legan.serve.loaded import load_model

    return load_model(source, device)


def __getattr__(name: str) -> Any:
    """The names of ``__all__``, imported when they are first asked for: ``import legan`` takes no time."""
    if name not in _PLACES:
        raise AttributeError(f"module 'legan' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

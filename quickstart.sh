#!/usr/bin/env bash
# From nothing to a trained, tracked, evaluated and registered LEGAN on rendered faces. Each command is shown before it runs;
# they are the very commands for your own photographs. Run it with `make quickstart`.
set -euo pipefail

out=${LEGAN_QUICKSTART:-quickstart}
export LEGAN_HOME="$out/runs"
started=$SECONDS

elapsed() { printf '%d:%02d' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }

step() {
    printf '\n\033[1m== %s\033[0m  (%s)\n' "$1" "$(elapsed)"
    shift
    printf '$ %s\n' "$*"
    "$@"
}

numbered() { while IFS= read -r line; do printf '(%s) %s\n' "$1" "$line"; done; }

# Two commands, with -- between them, of which neither needs the other; each gets half of the processors.
beside() {
    local first=()
    printf '\n\033[1m== %s\033[0m  (%s)\n' "$1" "$(elapsed)"
    shift
    while [ "$1" != -- ]; do
        first+=("$1")
        shift
    done
    shift
    printf '(1) $ %s\n(2) $ %s\n' "${first[*]}" "$*"
    OMP_NUM_THREADS=$half "${first[@]}" > >(numbered 1) 2>&1 &
    local pid=$!
    OMP_NUM_THREADS=$half "$@" > >(numbered 2) 2>&1
    wait $pid
}

if [ -e "$out" ]; then
    echo "quickstart: $out exists already; remove it, or choose another folder with LEGAN_QUICKSTART=…" >&2
    exit 2
fi
mkdir -p "$out"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
half=$(python -c 'import os; print(max(1, (os.cpu_count() or 1) // 2))')

step "what this machine has" legan doctor
# With bf16 a processor computes five times as many images in these ten minutes: more steps, of larger minibatches.
longer=()
if [ "$(python -c 'from legan.platform.device import native_precision; print(native_precision(gpu=False))')" = bf16 ]; then
    longer=(--set steps=1600 --set batch_size=16 --set adam.learning_rate=0.001 --set average_decay=0.998)
fi
step "draw people under 6 expressions × 20 lightings, so that every translation has a true target" \
    legan data render --out "$out/faces" --subjects 200 --images-per-subject 60 --size 32 --seed 1

python - "$out" <<'PYTHON'
"""Somebody whom no model here ever sees, drawn larger, as the photograph to translate."""
import sys
from pathlib import Path

from PIL import Image

from legan.platform.data.dataset import open_dataset
from legan.platform.data.rendered.render import render_faces

out = Path(sys.argv[1])
held_out = open_dataset(out / "faces").splits["test"][0]
faces = render_faces(int(held_out.split("-")[1]), size=256, seed=1, expressions=["neutral"], lightings=["ambient"])
Image.fromarray(faces.images[0, 0]).save(out / "photo.png")
PYTHON
step "translate the photograph of one of them with the model in the box: nothing has been trained here yet" \
    legan translate "$out/photo.png" --expression smile --lighting left --model box:rendered --out "$out/first.smile.left.png"
step "draw other people, for the judges: they know nobody whom LEGAN learns from or is tested on" \
    legan data render --out "$out/others" --subjects 80 --size 32 --seed 2
step "a contact sheet of the first ones" legan data show "$out/faces" --sheet "$out/faces.png"
beside "simulate raters for Q to learn from, and others, of other faults, for a Q that judges" \
    legan data ratings "$out/faces" --out "$out/ratings" --seed 1 -- \
    legan data ratings "$out/others" --panel judging --out "$out/other-ratings" --seed 2
beside "train T, the identity network, and Q, the quality model" \
    legan train identity --data "$out/faces" --name T --workers 0 -- \
    legan train quality --ratings "$out/ratings" --name Q --workers 0 --set image_size=32
step "train LEGAN on two Ray Train workers" \
    legan train legan --data "$out/faces" --identity T --quality Q --name quickstart --workers 2 ${longer[@]+"${longer[@]}"}
beside "train a judge of expression and lighting, and a matcher, on the other people" \
    legan train classifier --data "$out/others" --name judge --workers 0 -- \
    legan train identity --data "$out/others" --name matcher --set network=lightcnn9 --set seed=1 --workers 0
step "train a Q that judges" \
    legan train quality --ratings "$out/other-ratings" --name other-Q --workers 0 --set image_size=32 --set seed=1
step "evaluate LEGAN on people it never saw" \
    legan evaluate models:/legan@champion --data "$out/faces" --classifier judge --matcher matcher --quality other-Q \
    --out "$out/evaluation"
step "translate the same photograph with what was trained" \
    legan translate "$out/photo.png" --expression smile --lighting left --out "$out/photo.smile.left.png"
step "and to every combination" legan translate "$out/photo.png" --grid --out "$out/photo.grid.png"

cat <<TEXT

Done in $(elapsed). Look at
  $out/first.smile.left.png      a translation by the model in the box, which comes with the package
  $out/faces.png                 the data
  $out/evaluation/               scores beside copy input and real images; grids of input, output, target, Me and Ml
  $out/photo.smile.left.png      the translated face, and photo.grid.png with all combinations
  LEGAN_HOME=$out/runs $(command -v legan) ui     every run, its losses, pictures and masks in MLflow; it prints the address
The model is small and minutes old: light and expression are mostly the ones asked for, and its pictures are small and grainy.
TEXT

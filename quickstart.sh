#!/usr/bin/env bash
# From nothing to a trained, tracked, evaluated and registered LEGAN on rendered faces. Each command is shown before it runs;
# they are the very commands for your own photographs. Run it with `make quickstart`.
set -euo pipefail

out=${LEGAN_QUICKSTART:-quickstart}
export LEGAN_HOME="${LEGAN_HOME:-$out/runs}"
started=$SECONDS

step() {
    printf '\n\033[1m== %s\033[0m  (%d:%02d)\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
    shift
    printf '$ %s\n' "$*"
    "$@"
}

if [ -e "$out" ]; then
    echo "quickstart: $out exists already; remove it, or choose another folder with LEGAN_QUICKSTART=…" >&2
    exit 2
fi
mkdir -p "$out"

step "what this machine has" legan doctor
step "render faces: 6 expressions × 20 lightings, with true targets" \
    legan data render --out "$out/faces" --subjects 60 --size 64 --seed 1
step "look at them" legan data show "$out/faces" --out "$out/faces.png"
step "simulate raters, for Q to learn from" legan data ratings "$out/faces" --out "$out/ratings" --seed 1
step "train T, the identity network" legan train identity --data "$out/faces" --name T
step "train Q, the quality model" legan train quality --ratings "$out/ratings" --name Q
step "train a matcher that LEGAN is not trained with" legan train identity --data "$out/faces" --name matcher --set network=lightcnn9 --set seed=1
step "train the judge of expression and lighting" legan train classifier --data "$out/faces" --name judge
step "train LEGAN on two Ray Train workers" \
    legan train legan --data "$out/faces" --identity T --quality Q --name quickstart --workers 2
step "evaluate it on subjects it never saw" \
    legan evaluate models:/legan@champion --data "$out/faces" --classifier judge --matcher matcher --out "$out/evaluation"

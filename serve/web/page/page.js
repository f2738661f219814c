// A photograph goes to the server once, for its faces; what follows works on the small aligned face.

import { Problem, call, formOf, people, pictureOf } from "./api.js";
import { camera } from "./camera.js";
import { grid } from "./grid.js";
import { capital, personLines, plain, rated, scoreRows } from "./scores.js";

const byId = (id) => document.getElementById(id);
const KEEP = "keep";      // as the API calls the class that the face shows already
const SETTLE_MS = 120; // of the choice, while arrow keys run through it
const PICTURE = /\.(png|jpe?g?|jfif|mpo|webp|bmp|tiff?|gif|p[bgnp]m|j[p2][2ck]|avif|hei[cf])$/i;
const key = (...parts) => JSON.stringify(parts);

let model = null;
let photo = null;         // {file, stem, url, width, height, faces, aligned}
let face = 0;
let made = new Map();     // results by face, expression and lighting; photographs too
let opening = new AbortController(), working = new AbortController();
let settling = 0;

// ---- telling people

function tell(problem, retry) {
  byId("trouble-text").textContent = problem.message;
  byId("trouble-list").replaceChildren(...(problem.errors || []).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  byId("trouble").hidden = false;
  byId("trouble-retry").hidden = !retry;
  byId("trouble-retry").onclick = () => { quiet(); retry(); };
}

function quiet() { byId("trouble").hidden = true; }
byId("trouble-close").onclick = quiet;

const status = (text) => { byId("status").textContent = text; };

/** Do `work`, and tell what goes wrong with it. */
async function trying(work, retry) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) console.error(error);
    const known = error instanceof Problem;
    const mayPass = !known || [0, 408].includes(error.status) || error.status >= 500;
    tell(known ? error : { message: `The page failed: ${error.message}. Load it anew.` }, mayPass ? retry ?? (() => trying(work)) : null);
    status("Nothing new: see the message above.");
    byId("output-slot").classList.remove("waiting");
  }
}

people.wait = (message, seconds, signal) => new Promise((resolve, reject) => {
  const stop = () => { finish(); reject(new DOMException("stopped", "AbortError")); };
  const finish = () => { clearTimeout(timer); signal?.removeEventListener("abort", stop); quiet(); };
  const go = () => { finish(); resolve(); };
  const timer = setTimeout(go, seconds * 1000);
  if (signal?.aborted) { stop(); return; }
  signal?.addEventListener("abort", stop);
  tell({ message: `${message} This page tries again by itself.` }, go);
});

people.askToken = (wrong) => new Promise((resolve) => {
  const form = byId("token"), field = byId("token-field");
  form.hidden = false;
  if (wrong) tell({ message: "The server does not know this token. Type it again." });
  field.value = "";
  field.focus();
  form.onsubmit = (event) => {
    event.preventDefault();
    quiet();
    form.hidden = true;
    resolve(field.value.trim());
    field.value = "";
  };
});

// ---- the model and what it knows

const labelOf = ({ name, version }) => `${name}/${version}`;

async function loadModel() {
  model = await (await call("v1/model")).json();
  model.label = labelOf(model);
  byId("model").textContent = `Model ${model.name}, version ${model.version}`;
  tiles(byId("expressions"), "expression", model.expressions);
  tiles(byId("lightings"), "lighting", model.lightings);
  const warning = model.quality_scale?.warning;
  Object.assign(byId("scale-warning"), { hidden: !warning, textContent: warning ? `${warning}.` : "" });
  all.describe(model);
  byId("main").hidden = false;
}

/** Radio buttons with pictures; what was chosen stays chosen where there still is such a name. */
function tiles(box, kind, names) {
  const before = chosen(kind);
  const own = model.predictor && !names.includes(KEEP) ? [tile(kind, KEEP, "as it is", photo?.faces[face]?.url, before === KEEP)] : [];
  box.replaceChildren(...own, ...names.map((name, index) => {
    const source = `v1/examples?${new URLSearchParams({ kind, name })}`;
    return tile(kind, name, plain(name), source, before ? name === before : index === 0);
  }));
  if (!chosen(kind)) [...box.querySelectorAll("input")].at(own.length).checked = true;
  box.closest("fieldset").hidden = box.children.length === 1; // nothing to choose
}

function tile(group, value, text, source, checked) {
  const label = Object.assign(document.createElement("label"), { className: "tile" });
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: group, value, checked });
  const image = Object.assign(new Image(), { alt: "" });
  image.onerror = () => image.remove(); // names do where there is no picture
  if (source) image.src = source;
  label.append(radio, image, Object.assign(document.createElement("span"), { textContent: text }));
  return label;
}

const chosen = (kind) => document.querySelector(`input[name=${kind}]:checked`)?.value;

function choose(kind, name) {
  const radio = [...document.querySelectorAll(`input[name=${kind}]`)].find((each) => each.value === name);
  if (radio) radio.checked = true;
}

/** Another model answers than the page knows, since it was changed: ask anew, and start with the photograph again. */
async function changed(label) {
  if (label === model.label) return false;
  await loadModel();
  if (photo) await open(photo.file, photo.aligned);
  return true;
}

/** Whether an error may be another model's, which may be of another size or know other names; then the page begins anew. */
async function outdated(error) {
  return error.status === 422 && changed(labelOf(await (await call("v1/model")).json()));
}

// ---- a photograph and its faces

/** Show a file and find its faces; `aligned` null: by its size. */
function open(file, aligned = null) {
  opening.abort();
  working.abort();
  all.clear();
  quiet();
  opening = new AbortController();
  return trying(() => opened(file, aligned, opening.signal), () => open(file, aligned));
}

async function opened(file, aligned, signal) {
  const name = file.name || "picture.png";
  if (file.type && !file.type.startsWith("image/") && !PICTURE.test(name)) throw new Problem(415, `${name} is no picture; choose a photograph, such as a JPEG or PNG.`);
  if (file.size > model.limits.body_bytes * 0.999) throw new Problem(413, `${name} has ${(file.size / 1e6).toFixed(1)} MB, more than the ${model.limits.body_bytes / 1e6} MB that the server takes; scale it down first.`);
  forget();
  const url = URL.createObjectURL(file);
  const [width, height] = await sizeOf(url);
  if (signal.aborted) return;
  photo = { file, stem: name.replace(/\.[^.]*$/, ""), url, width, height, faces: [] };
  photo.aligned = aligned ?? (width === model.image_size && height === model.image_size);
  showPhoto();
  if (photo.aligned) {
    photo.faces = [{ blob: file, url }];
  } else {
    status("Looking for faces …");
    const reply = await (await call("v1/faces", { form: formOf(file, {}), signal })).json();
    if (reply.model !== model.label) await loadModel();
    Object.assign(photo, { width: reply.width, height: reply.height });
    photo.faces = reply.faces.map((each) => {
      const blob = pictureOf(each.aligned, "image/png");
      return { ...each, blob, url: URL.createObjectURL(blob) };
    });
  }
  showFaces();
  const least = Math.max(40, Math.ceil(Math.max(photo.width, photo.height) / 80)); // as serve/engine.py looks for them
  if (!photo.faces.length) throw new Problem(422, `No face was found in ${name}. Choose a picture with a face of ${least} pixels or more, towards the camera.`);
  rateInputs(photo, signal);
  takeFace(0);
}

function forget() {
  for (const result of made.values()) for (const url of [result.url, ...Object.values(result.masks || {})]) URL.revokeObjectURL(url);
  if (photo) for (const url of [photo.url, ...photo.faces.map((each) => each.url)]) URL.revokeObjectURL(url);
  made = new Map();
  photo = null;
  face = 0;
  for (const id of ["input", "output"]) byId(id).hidden = true;
  for (const id of ["details", "all", "stage", "faces", "photo-note"]) byId(id).hidden = true;
}

/** Width and height, 0 where this browser cannot decode the file. */
async function sizeOf(url) {
  const image = Object.assign(new Image(), { src: url });
  try { await image.decode(); } catch { return [0, 0]; }
  return [image.naturalWidth, image.naturalHeight];
}

function showPhoto() {
  const note = byId("photo-note");
  byId("photo-image").src = photo.url;
  byId("stage").hidden = !photo.width;
  byId("drop-hint").textContent = "or drop or paste another one";
  byId("choose").firstChild.textContent = "Choose another";
  note.hidden = Boolean(photo.width) && !photo.aligned;
  note.textContent = photo.aligned
    ? `Taken as an aligned face, for it has the model's size, ${model.image_size}×${model.image_size}. `
    : "This browser cannot show this kind of file; the server may still read it.";
  if (photo.aligned) {
    const again = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: "Look for a face in it instead" });
    again.onclick = () => open(photo.file, false);
    note.append(again);
  }
}

function showFaces() {
  const { faces, width, height } = photo;
  byId("faces").hidden = faces.length < 2;
  byId("face-tiles").replaceChildren(...faces.map((each, index) => tile("face", String(index), `Face ${index + 1}`, each.url, index === 0)));
  const boxes = faces.filter((each) => each.box).map(({ box: [left, top, right, bottom] }, index) => {
    const box = Object.assign(document.createElement("div"), { className: "box" });
    const place = { left: left / width, top: top / height, width: (right - left) / width, height: (bottom - top) / height };
    for (const [side, share] of Object.entries(place)) box.style[side] = `${100 * share}%`;
    box.onclick = () => { choose("face", String(index)); takeFace(index); };
    return box;
  });
  byId("frame").querySelectorAll(".box").forEach((box) => box.remove());
  byId("frame").append(...boxes);
}

/** What Q says of the inputs, to judge the outputs by; an extra, so nobody is told where it fails. */
async function rateInputs(of, signal) {
  if (!model.has_quality) return;
  const some = of.faces.slice(0, model.limits.images);
  try {
    const reply = await (await call("v1/quality", { form: formOf(some.map((each) => each.blob), { aligned: true }), signal })).json();
    reply.results.forEach((result, index) => { some[index].quality = result.quality; });
    if (of === photo) scores();
  } catch (error) {
    if (error.name !== "AbortError") console.warn(error);
  }
}

function takeFace(index) {
  face = index;
  byId("frame").querySelectorAll(".box").forEach((box, each) => box.classList.toggle("taken", each === index));
  for (const radio of byId("choices").querySelectorAll(`input[value=${KEEP}] + img`)) radio.src = photo.faces[index].url;
  all.clear();
  byId("all").hidden = false;
  translate();
}

// ---- a translation

function translate() {
  if (!photo?.faces.length) return;
  working.abort();
  working = new AbortController();
  const { signal } = working;
  const wish = { expression: chosen("expression"), lighting: chosen("lighting") };
  const inPhoto = byId("paste").checked && !photo.aligned;
  trying(async () => {
    const known = made.has(key(face, wish)) && (!inPhoto || made.has(key(face, wish, "photo")));
    if (!known) {
      byId("output-slot").classList.add("waiting");
      status("Translating …");
    }
    const [result, whole] = await Promise.all([translated(wish, signal), inPhoto ? pasted(wish, signal) : null]);
    if (signal.aborted || !result) return;
    show(wish, result, whole);
  }, translate);
}

async function translated(wish, signal) {
  const place = key(face, wish);
  if (!made.has(place)) {
    const store = made;
    const form = formOf(photo.faces[face].blob, { ...wish, aligned: true, masks: model.disentangled });
    let reply;
    try {
      reply = await (await call("v1/translate", { form, signal })).json();
    } catch (error) {
      if (await outdated(error)) return null;
      throw error;
    }
    if (await changed(reply.model)) return null;
    const [result] = reply.results;
    const url = (base64) => URL.createObjectURL(pictureOf(base64, result.media_type));
    const masks = result.masks && { expression: url(result.masks.expression), lighting: url(result.masks.lighting) };
    store.set(place, { ...result, url: url(result.image), masks });
  }
  return made.get(place);
}

async function pasted(wish, signal) {
  const place = key(face, wish, "photo");
  if (!made.has(place)) {
    const store = made;
    const form = formOf(photo.file, { ...wish, face, paste: true });
    store.set(place, { url: URL.createObjectURL(await (await call("v1/translate", { form, accept: "image/png", signal })).blob()) });
  }
  return made.get(place);
}

function show(wish, result, whole) {
  const shownAs = (kind) => plain(result[kind]) + (result.kept.includes(kind) ? " (kept)" : "");
  const said = capital(["expression", "lighting"].filter((kind) => model[`${kind}s`].length > 1).map(shownAs).join(", "));
  const stem = `${photo.stem}.${result.expression}.${result.lighting}`;
  const put = (id, url, alt) => Object.assign(byId(id), { src: url, alt, hidden: false });
  put("input", whole ? photo.url : photo.faces[face].url, "Input");
  put("output", (whole ?? result).url, `Output: ${said}`);
  byId("output-slot").classList.remove("waiting");
  for (const slot of byId("pictures").querySelectorAll(".slot")) slot.style.aspectRatio = whole ? `${photo.width} / ${photo.height}` : "";
  Object.assign(byId("download"), { href: (whole ?? result).url, download: `${stem}${whole ? ".photograph" : ""}.png`, hidden: false });
  byId("masks").hidden = !result.masks;
  for (const [kind, url] of Object.entries(result.masks || {})) {
    byId(`mask-${kind}`).src = url;
    Object.assign(byId(`download-mask-${kind}`), { href: url, download: `${stem}.${kind}-mask.png` });
  }
  byId("details").hidden = false;
  byId("paste").closest("label").hidden = photo.aligned;
  scores();
  byId("person").replaceChildren(...personLines(result, Boolean(whole), model));
  status(said + (result.quality === null ? "." : `: naturalness ${rated(result.quality, model)}.`));
}

function scores() {
  const result = made.get(key(face, { expression: chosen("expression"), lighting: chosen("lighting") }));
  byId("scores").replaceChildren(...(result ? scoreRows(result, photo.faces[face].quality, model) : []));
}

// ---- all combinations

const all = grid({
  ask: () => ({ blob: photo.faces[face].blob, stem: photo.stem }),
  pick: (expression, lighting) => {
    choose("expression", expression);
    choose("lighting", lighting);
    translate();
    byId("pair").scrollIntoView({ block: "nearest" });
  },
  trying,
  changed,
  outdated,
});

// ---- where pictures come from

byId("file").onchange = (event) => {
  const [file] = event.target.files;
  if (file) open(file);
  event.target.value = ""; // the same file may be chosen again
};
camera(open, (message) => tell({ message }));
const openFirst = (list) => { const [file] = list?.files ?? []; if (file && model) open(file); return Boolean(file); };
document.addEventListener("paste", (event) => { if (openFirst(event.clipboardData)) event.preventDefault(); });
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (model && !openFirst(event.dataTransfer)) tell({ message: "What was dropped is no file; save the picture first, or paste it." });
});

byId("choices").onsubmit = (event) => event.preventDefault();
byId("choices").onchange = () => { clearTimeout(settling); settling = setTimeout(translate, SETTLE_MS); };
byId("faces").onchange = () => takeFace(Number(chosen("face")));
byId("paste").onchange = translate;

trying(loadModel);

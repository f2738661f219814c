// All combinations of expression and lighting, asked for a few at a time and shown in a table as they come.

import { call, formOf } from "./api.js";
import { plain, rated } from "./scores.js";
import { unzip, zip } from "./zip.js";

const byId = (id) => document.getElementById(id);
/** A combination for people; where a model knows one class of a kind, that is no choice and has no name. */
const named = ({ expressions, lightings }, expression, lighting) =>
  [...(expressions.length > 1 ? [plain(expression)] : []), ...(lightings.length > 1 ? [plain(lighting)] : [])].join(", ");
const NARROW = matchMedia("(max-width: 40rem)");
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const PIECE = 8; // pictures of one request: seconds where a server makes three a second, far from its time limit

/**
 * `ask()` gives the face, `pick(expression, lighting)` is called for a picture that is clicked, `trying(work)` tells errors,
 * `changed(label)` and `outdated(error)` begin anew where another model has answered, or may have caused an error.
 */
export function grid({ ask, pick, trying, changed, outdated }) {
  let model = null, wanted = [], results = new Map(), rejected = 0, packed = null, making = new AbortController();

  function clear() {
    making.abort();
    for (const each of results.values()) URL.revokeObjectURL(each.url);
    if (packed) URL.revokeObjectURL(packed);
    results = new Map();
    rejected = 0;
    packed = null;
    byId("grid").hidden = byId("grid-download").hidden = true;
    byId("grid").replaceChildren();
    byId("grid-status").textContent = "";
    busy(false);
  }

  function describe(now) {
    model = now;
    wanted = model.expressions.flatMap((expression) => model.lightings.map((lighting) => `${expression}:${lighting}`));
    busy(false);
  }

  const missing = () => wanted.filter((label) => !results.has(label));

  function busy(now) {
    const left = missing().length;
    byId("grid-make").textContent = left < wanted.length ? `Make the other ${left}` : `Make all ${left}`;
    byId("grid-make").hidden = now || left === 0;
    byId("grid-stop").hidden = !now;
  }

  /** Ask for what is not there yet. */
  async function make() {
    const { blob, stem } = ask();
    making = new AbortController();
    const { signal } = making;
    busy(true);
    draw();
    try {
      for (let left = missing(); left.length; left = missing()) {
        byId("grid-status").textContent = `${results.size} of ${wanted.length} pictures are made …`;
        const label = left.slice(0, Math.min(PIECE, model.limits.variants));
        const form = formOf(blob, { variants: "listed", label, aligned: true });
        const reply = await (await call("v1/augment", { form, accept: "application/zip", signal })).blob();
        const files = await unzip(reply, { png: "image/png", json: "application/json" });
        const told = JSON.parse(await files.get("augmented.json").text());
        if (signal.aborted || await changed(told.model)) return;
        rejected += told.rejected;
        for (const each of told.results) take(each, files.get(each.image));
      }
      packed = URL.createObjectURL(await pack());
      Object.assign(byId("grid-download"), { href: packed, download: `${stem}.combinations.zip`, hidden: false });
      byId("grid-status").textContent = `${results.size} pictures. Choose one to see it above.`;
    } catch (error) {
      if (!signal.aborted && await outdated(error)) return;
      if (!signal.aborted) byId("grid-status").textContent = `${results.size} of ${wanted.length} pictures are made.`;
      throw error;
    } finally {
      if (signal === making.signal) busy(false);
    }
  }

  function take(result, file) {
    const label = `${result.expression}:${result.lighting}`;
    results.set(label, { ...result, file, url: URL.createObjectURL(file) });
    const button = [...byId("grid").querySelectorAll("button")].find((each) => each.dataset.label === label);
    if (button) fill(button);
  }

  /** The zip of all of them, as one call of POST /v1/augment would have given it. */
  function pack() {
    const all = wanted.map((label, index) => {
      const { file, url, ...result } = results.get(label);
      return { file, result: { ...result, index, image: result.image.replace(/^\d+/, String(index).padStart(3, "0")) } };
    });
    const reply = { results: all.map((each) => each.result), model: model.label, rejected, quality_scale: model.quality_scale };
    const told = JSON.stringify(reply, null, 1);
    return zip([["augmented.json", new Blob([told])], ...all.map(({ result, file }) => [result.image, file])]);
  }

  function draw() {
    const table = document.createElement("table");
    table.append(Object.assign(document.createElement("caption"), { className: "hidden", textContent: "All combinations of expression and lighting" }));
    const width = model.expressions.length > 1 && model.lightings.length > 1 ? crossed(table) : lined(table);
    table.querySelector("button").tabIndex = 0;
    table.onkeydown = (event) => walk(event, width);
    byId("grid").replaceChildren(table);
    byId("grid").hidden = false;
  }

  /** Expressions against lightings; how many pictures a line has. */
  function crossed(table) {
    const { expressions, lightings } = model;
    // On a phone the longer list runs down, so that nothing has to be moved sideways.
    const turned = NARROW.matches && lightings.length > expressions.length;
    const [rows, columns] = turned ? [lightings, expressions] : [expressions, lightings];
    const head = table.createTHead().insertRow();
    head.append(document.createElement("td"), ...columns.map((name) => header(name, "col")));
    const body = table.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      line.append(header(row, "row"));
      for (const column of columns) line.insertCell().append(cell(...(turned ? [column, row] : [row, column])));
    }
    return columns.length;
  }

  /** The classes of the one kind that there is a choice of, a name above each picture; how many pictures a line has. */
  function lined(table) {
    const { expressions, lightings } = model;
    const names = lightings.length > 1 ? lightings : expressions;
    const width = Math.min(names.length, NARROW.matches ? 4 : 10);
    table.className = "lined";
    for (let start = 0; start < names.length; start += width) {
      const some = names.slice(start, start + width);
      table.insertRow().append(...some.map((name) => header(name, "col")));
      const line = table.insertRow();
      for (const name of some) line.insertCell().append(lightings.length > 1 ? cell(expressions[0], name) : cell(name, lightings[0]));
    }
    return width;
  }

  function header(name, scope) {
    return Object.assign(document.createElement("th"), { scope, textContent: plain(name) });
  }

  /** A button for a picture, which cannot be pressed before the picture is there. */
  function cell(expression, lighting) {
    const title = named(model, expression, lighting);
    const button = Object.assign(document.createElement("button"), { type: "button", title, tabIndex: -1, disabled: true });
    button.dataset.label = `${expression}:${lighting}`;
    button.onclick = () => pick(expression, lighting);
    if (results.has(button.dataset.label)) fill(button);
    return button;
  }

  function fill(button) {
    const { url, quality } = results.get(button.dataset.label);
    if (quality !== null) button.title += `, ${rated(quality, model)}`;
    button.replaceChildren(Object.assign(new Image(), { src: url, alt: button.title }));
    button.disabled = false;
  }

  /** Arrow keys move between the pictures; the tab key passes the table in one step. */
  function walk(event, width) {
    const step = STEPS[event.key], buttons = [...byId("grid").querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const column = (at % width) + step[1], to = at + step[0] * width + step[1];
    if (column < 0 || column >= width || !buttons[to] || buttons[to].disabled) return;
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  }

  byId("grid-make").onclick = () => trying(make);
  byId("grid-stop").onclick = clear;
  NARROW.addEventListener("change", () => { if (!byId("grid").hidden) draw(); });
  return { clear, describe };
}

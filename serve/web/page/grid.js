// All combinations of expression and lighting: one request, one zip, shown as a table.

import { call, formOf } from "./api.js";
import { unzip } from "./zip.js";

const byId = (id) => document.getElementById(id);
/** A class name for people. */
export const plain = (name) => name.replaceAll("_", " ");
const NARROW = matchMedia("(max-width: 40rem)");
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** `ask()` gives the face, `pick(expression, lighting)` is called for a picture that is clicked, `trying(work)` tells errors. */
export function grid({ ask, pick, trying }) {
  let model = null, urls = [], results = null, making = new AbortController();

  function clear() {
    making.abort();
    for (const url of urls) URL.revokeObjectURL(url);
    urls = [];
    results = null;
    busy(false);
    byId("grid").hidden = byId("grid-download").hidden = true;
    byId("grid").replaceChildren();
    if (model) describe(model);
  }

  function describe(now) {
    model = now;
    const count = model.expressions.length * model.lightings.length;
    const fits = count <= model.limits.variants;
    byId("grid-make").textContent = `Make all ${count}`;
    byId("grid-make").disabled = !fits;
    byId("grid-status").textContent = fits ? "" : `There are ${count} combinations, and this server makes ${model.limits.variants} at once.`;
  }

  function busy(now) {
    byId("grid-make").hidden = now || results !== null;
    byId("grid-stop").hidden = !now;
    byId("all").classList.toggle("working", now);
  }

  async function make() {
    const { blob, stem } = ask();
    making = new AbortController();
    const { signal } = making;
    busy(true);
    byId("grid-status").textContent = "Making them, a moment …";
    try {
      const form = formOf(blob, { variants: "all", aligned: true });
      const zip = await (await call("v1/augment", { form, accept: "application/zip", signal })).blob();
      const files = await unzip(zip, { png: "image/png", json: "application/json" });
      const told = JSON.parse(await files.get("augmented.json").text());
      if (signal.aborted) return;
      const url = (of) => { urls.push(URL.createObjectURL(of)); return urls.at(-1); };
      results = new Map(told.results.map((each) => [`${each.expression}:${each.lighting}`, { ...each, url: url(files.get(each.image)) }]));
      Object.assign(byId("grid-download"), { href: url(zip), download: `${stem}.combinations.zip`, hidden: false });
      byId("grid-status").textContent = `${results.size} pictures. Choose one to see it above.`;
      draw();
    } catch (error) {
      byId("grid-status").textContent = "";
      throw error;
    } finally {
      if (signal === making.signal) busy(false);
    }
  }

  function draw() {
    if (!results) return;
    const { expressions, lightings } = model;
    // On a phone the longer list runs down, so that nothing has to be moved sideways.
    const turned = NARROW.matches && lightings.length > expressions.length;
    const [rows, columns] = turned ? [lightings, expressions] : [expressions, lightings];
    const table = document.createElement("table");
    table.append(Object.assign(document.createElement("caption"), { className: "hidden", textContent: "All combinations of expression and lighting" }));
    const head = table.createTHead().insertRow();
    head.append(document.createElement("td"), ...columns.map((name) => header(name, "col")));
    const body = table.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      line.append(header(row, "row"));
      for (const column of columns) line.insertCell().append(cell(...(turned ? [column, row] : [row, column])));
    }
    table.querySelector("button").tabIndex = 0;
    table.onkeydown = (event) => walk(event, columns.length);
    byId("grid").replaceChildren(table);
    byId("grid").hidden = false;
  }

  function header(name, scope) {
    return Object.assign(document.createElement("th"), { scope, textContent: plain(name) });
  }

  function cell(expression, lighting) {
    const { url, quality } = results.get(`${expression}:${lighting}`);
    const name = `${plain(expression)}, ${plain(lighting)}${quality === null ? "" : `, ${quality.toFixed(1)} of 10`}`;
    const button = Object.assign(document.createElement("button"), { type: "button", title: name, tabIndex: -1 });
    button.append(Object.assign(new Image(), { src: url, alt: name }));
    button.onclick = () => pick(expression, lighting);
    return button;
  }

  /** Arrow keys move between the pictures; the tab key passes the table in one step. */
  function walk(event, width) {
    const step = STEPS[event.key], buttons = [...byId("grid").querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const column = (at % width) + step[1], to = at + step[0] * width + step[1];
    if (column < 0 || column >= width || !buttons[to]) return;
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  }

  byId("grid-make").onclick = () => trying(make);
  byId("grid-stop").onclick = clear;
  NARROW.addEventListener("change", draw);
  return { clear, describe };
}

"use strict";
// One question at a time. An answer is kept in this browser (localStorage) until the server says that it has it on its disk.

const STORE = "legan-study:" + location.pathname;
const SHORT_S = 10;        // the clock turns red and is read out
const TEN_WITHIN_MS = 1000; // "1" and then "0" within this time is 10
const LONGEST_WAIT_S = 10;
const byId = (id) => document.getElementById(id);
const SECTIONS = ["loading", "intro", "question", "timeout", "done"];

let state = null;   // the server's last reply
let clock = null;   // {began, before, timer}: seconds of this task are before + time since began
let busy = true;    // no answer is taken
let oneAt = -Infinity;

// ---- what is kept in this browser

function kept() {
  try { return JSON.parse(localStorage.getItem(STORE)) || {}; } catch { return {}; }
}

function keep(changes) {
  try { localStorage.setItem(STORE, JSON.stringify({ ...kept(), ...changes })); } catch { /* private mode: the page itself still holds it */ }
}

// ---- talking to the server

const pause = (seconds) => new Promise((resolve) => {
  const end = () => { clearTimeout(timer); byId("try-now").onclick = null; window.removeEventListener("online", end); resolve(); };
  const timer = setTimeout(end, seconds * 1000);
  byId("try-now").onclick = end;
  window.addEventListener("online", end);
});

/** Do it again, ever more slowly, until it works; say so meanwhile. */
async function insist(attempt, consequence) {
  for (let wait = 1; ; wait = Math.min(2 * wait, LONGEST_WAIT_S)) {
    try {
      const result = await attempt();
      byId("trouble").hidden = true;
      return result;
    } catch (error) {
      byId("trouble-text").textContent = `${error.lost ? "This link is not known there any more." : "The study cannot be reached just now."} ${consequence}`;
      byId("trouble").hidden = false;
      await pause(wait);
    }
  }
}

async function request(path, options) {
  const reply = await fetch(path, { ...options, signal: AbortSignal.timeout(15000), cache: "no-store" });
  if (reply.status === 422) return null; // not a question to this rater: the study was made anew under the same link
  if (!reply.ok) throw Object.assign(new Error(reply.statusText), { lost: reply.status === 404 });
  return reply.json();
}

const fetchState = () => insist(() => request("next"), "The page tries again by itself.");

async function send(answer) {
  const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(answer) };
  const reply = await insist(() => request("answers", post), "Your answer is kept in this browser and sent again by itself.");
  keep({ answer: null });
  return reply || fetchState();
}

async function load(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
}

// ---- sections

function show(section) {
  for (const id of SECTIONS) byId(id).hidden = id !== section;
  window.scrollTo(0, 0);
}

function picture(source, alt) {
  return Object.assign(new Image(), { src: source, alt });
}

function showIntro() {
  const ratings = state.kind === "ratings", left = state.total - state.done;
  const count = (one, many) => `${left} ${state.done ? "more " : ""}${left === 1 ? one : many}`;
  byId("intro-title").textContent = ratings ? "How natural do these faces look?" : "Which picture fits best?";
  byId("intro-text").textContent = ratings
    ? `You will see ${count("picture of a face", "pictures of faces")}, one at a time. Rate how natural each looks, from 0 (unnatural) to 10 (hyper-realistic). There are no wrong answers.`
    : `You will see ${count("person", "people")}, one at a time: a photograph, and several pictures that computers made of the same person. Choose the picture that best shows the expression and the lighting that are asked for, and is still the same person.`;
  byId("intro-time").textContent = state.seconds === null ? "Take the time you need."
    : `You have ${state.seconds} seconds for each. If time runs out before you have chosen, that is noted, and it comes once more at the end. The clock stands still while this page is closed.`;
  byId("intro-keys").textContent = ratings ? "With a keyboard: 0 to 9, x for 10 (or 1 and then 0), Enter saves."
    : "With a keyboard: the picture's number, Enter saves.";
  for (const kind of ["expression", "lighting"]) {
    byId("examples-" + kind).replaceChildren(...state.examples.filter((example) => example.kind === kind).map((example) => {
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      caption.textContent = example.name;
      figure.append(picture(example.image, `Example of ${kind} ${example.name}`), caption);
      return figure;
    }));
  }
  byId("examples").hidden = state.examples.length === 0;
  byId("start").textContent = state.done ? "Go on" : "Start";
  show("intro");
  byId("start").focus({ preventScroll: true });
}

function showDone() {
  byId("done-text").textContent = `You are through: all ${state.total} are done and saved. You can close this page.`;
  show("done");
  byId("done-title").focus();
}

function showTimeout(round) {
  byId("timeout-text").textContent = round === 1
    ? "This one was noted as timed out. It comes once more at the end. The clock stands still until you go on."
    : "This one was noted as timed out for good. The clock stands still until you go on.";
  show("timeout");
  byId("go-on").focus();
}

async function showQuestion() {
  const task = state.task;
  if (!task) return showDone();
  busy = true;
  const ratings = state.kind === "ratings", form = byId("question");
  form.className = `${state.kind} waiting`;
  byId("progress-text").textContent = `${state.done + 1} of ${state.total}${task.round === 2 ? ", second time" : ""}`;
  byId("progress").max = state.total;
  byId("progress").value = state.done;
  byId("ask").textContent = ratings ? "How natural does this face look?"
    : `Which picture best shows this person with expression “${task.expression}” and lighting “${task.lighting}”?`;
  byId("legend").textContent = byId("ask").textContent;
  byId("caption").textContent = ratings ? "" : "The person";
  byId("ends").hidden = !ratings;
  byId("image").alt = ratings ? "The face to rate" : "The person";
  byId("choices").replaceChildren(...(ratings ? [...Array(11).keys()].map((score) => choice("score", score)) : task.candidates.map(candidate)));
  byId("save").disabled = true;
  byId("save").textContent = "Save and go on";
  byId("hint").textContent = "Loading …";
  byId("clock").hidden = state.seconds === null;
  byId("clock").className = "";
  byId("clock").textContent = "";
  show("question");
  await insist(() => Promise.all([task.image, ...task.candidates].map(load)), "The picture comes as soon as it can be loaded.");
  byId("image").src = task.image;
  await byId("image").decode().catch(() => {});
  form.classList.remove("waiting");
  byId("save").disabled = false;
  byId("hint").textContent = "";
  byId("ask").focus();
  busy = false;
  startClock(task);
  for (const source of state.upcoming) new Image().src = source;
}

function choice(kind, value, ...before) {
  const label = document.createElement("label"), input = document.createElement("input"), span = document.createElement("span");
  label.className = kind;
  Object.assign(input, { type: "radio", name: "value", value: String(value) });
  span.textContent = String(value);
  span.ariaHidden = before.length > 0; // the picture's alt text says it
  label.append(input, ...before, span);
  return label;
}

const candidate = (source, index) => choice("candidate", index + 1, picture(source, `Picture ${index + 1}`));

// ---- the clock

function startClock(task) {
  const before = kept().clock;
  const same = before && before.task === task.task && before.round === task.round;
  clock = { began: performance.now(), before: same ? before.seconds : 0, timer: setInterval(tick, 250) };
  tick();
}

const elapsed = () => clock.before + (performance.now() - clock.began) / 1000;

function tick() {
  keep({ clock: { task: state.task.task, round: state.task.round, seconds: elapsed() } });
  if (state.seconds === null) return;
  const left = Math.max(0, Math.ceil(state.seconds - elapsed()));
  byId("clock").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left`;
  if (left <= SHORT_S && state.seconds > SHORT_S && byId("clock").className !== "short") {
    byId("clock").className = "short";
    byId("hint").textContent = `Less than ${SHORT_S} seconds left`;
  }
  if (left === 0) save(chosen());
}

// ---- answering

function chosen() {
  const input = document.querySelector("#choices input:checked");
  return input ? Number(input.value) : null;
}

function choose(value) {
  const input = document.querySelector(`#choices input[value="${value}"]`);
  if (!input) return;
  input.checked = true;
  input.focus();
  byId("hint").textContent = "";
}

async function save(value) {
  if (busy) return;
  busy = true;
  clearInterval(clock.timer);
  const { task, round } = state.task;
  const seconds = Math.round(elapsed() * 1000) / 1000;
  const answer = { task, round, value, seconds: state.seconds === null ? seconds : Math.min(seconds, state.seconds) };
  keep({ answer, clock: null });
  byId("save").disabled = true;
  byId("save").textContent = "Saving …";
  byId("hint").textContent = "";
  state = await send(answer);
  if (value === null) showTimeout(round); else showQuestion();
}

function submit(event) {
  event.preventDefault();
  if (busy) return;
  if (chosen() === null) byId("hint").textContent = state.kind === "ratings" ? "Choose a number first." : "Choose a picture first.";
  else save(chosen());
}

function press(event) {
  if (busy || byId("question").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Enter") return submit(event);
  const ratings = state.kind === "ratings";
  if (ratings && event.key.toLowerCase() === "x") return choose(10);
  if (!/^[0-9]$/.test(event.key)) return;
  const ten = ratings && event.key === "0" && performance.now() - oneAt < TEN_WITHIN_MS;
  oneAt = event.key === "1" ? performance.now() : -Infinity;
  choose(ten ? 10 : Number(event.key));
}

byId("question").addEventListener("submit", submit);
byId("choices").addEventListener("change", () => { byId("hint").textContent = ""; });
byId("start").addEventListener("click", showQuestion);
byId("go-on").addEventListener("click", showQuestion);
document.addEventListener("keydown", press);

(async () => {
  const { answer } = kept();
  state = answer ? await send(answer) : await fetchState();
  if (state.task) showIntro(); else showDone();
})();

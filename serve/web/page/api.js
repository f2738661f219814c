// Requests to the API: one kind of error for all that can go wrong, a token where the server wants one, patience where it is busy.

const TRIES = 8;          // of a request that is answered 503
const LONGEST_WAIT_S = 30;

/** An error for people: `message` is a sentence, `errors` are further ones; `status` is 0 where nothing was answered. */
export class Problem extends Error {
  constructor(status, message, errors = [], wait = 0) {
    super(message);
    Object.assign(this, { status, errors, wait });
  }
}

let token = null; // in memory only
let asked = null; // the question for a token that is open now, one for all requests

/** Where the page asks for a token and tells of a wait; set by page.js. */
export const people = {
  askToken: async (_wrong) => "",
  wait: async (_message, _seconds, _signal) => {},
};

/** GET, or POST of `form`; the reply, once it is a good one. Throws Problem, or AbortError where `signal` says stop. */
export async function call(path, { form, accept = "application/json", signal } = {}) {
  for (let tries = 1; ; tries++) {
    const sent = token;
    try {
      return await once(path, form, accept, sent, signal);
    } catch (error) {
      if (error.status === 401) {
        if (sent === token) token = await (asked ??= people.askToken(sent !== null).finally(() => { asked = null; }));
        tries--;
      } else if (error.status === 503 && tries < TRIES) {
        await people.wait(error.message, error.wait, signal);
      } else {
        throw error;
      }
    }
  }
}

async function once(path, form, accept, bearer, signal) {
  const headers = { accept, ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }) };
  let reply;
  try {
    reply = await fetch(path, { method: form ? "POST" : "GET", body: form, headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server cannot be reached. Check that it runs and that you are connected, then try again.");
  }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  const wait = Math.min(LONGEST_WAIT_S, Math.max(1, Number(reply.headers.get("retry-after")) || 1));
  const detail = told.detail || `The server answered ${reply.status} ${reply.statusText}`.trim() + "; try again.";
  throw new Problem(reply.status, detail, told.errors || [], wait);
}

/** A form with pictures and fields; a list is a field that is given several times. */
export function formOf(picture, fields) {
  const form = new FormData();
  for (const one of [picture].flat()) form.append("image", one, "image");
  for (const [name, value] of Object.entries(fields)) for (const one of [value].flat()) form.append(name, one);
  return form;
}

/** The picture that JSON carries in base64. */
export const pictureOf = (base64, type) => new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });

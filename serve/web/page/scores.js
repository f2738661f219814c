// What a result's numbers say, beside what they are to be read by.

/** A class name for people. */
export const plain = (name) => name.replaceAll("_", " ");
export const capital = (text) => text[0].toUpperCase() + text.slice(1);
/** A rating, who had rated what Q learnt from, and how Q rates real images. */
export const rated = (quality, { quality_scale: scale }) => `${quality.toFixed(1)} of 10${scale ? ` (${scale.words})` : ""}`;

const made = (tag, values) => Object.assign(document.createElement(tag), values);

/** Rows of a list of terms; `before` is Q's rating of the input, where there is one. */
export function scoreRows(result, before, model) {
  const rows = [];
  const row = (name, value, text, most, beside = "") => {
    const meter = made("meter", { min: 0, max: most, value: Math.max(0, value) });
    meter.setAttribute("aria-label", name);
    const told = document.createElement("dd");
    told.append(meter, ` ${text}`);
    if (beside) told.append(made("span", { className: "soft beside", textContent: beside }));
    rows.push(made("dt", { textContent: name }), told);
  };
  if (result.quality != null) {
    const beside = [model.quality_scale?.words, before == null ? null : `input: ${before.toFixed(1)}`].filter(Boolean).join("; ");
    row("Naturalness, by Q", result.quality, `${result.quality.toFixed(1)} of 10`, 10, beside);
  }
  if (result.similarity != null) row("Same person", result.similarity, `${result.similarity.toFixed(2)} of 1`, 1);
  for (const kind of result.kept) {
    const read = `${plain(result[kind])}, as the model reads it: ${howWell(kind, model)}`;
    rows.push(made("dt", { textContent: `${capital(kind)} kept` }), made("dd", { textContent: read }));
  }
  return rows;
}

/** How often the model reads a face's own class rightly, as its training measured it, and on faces of which source. */
function howWell(kind, { predictor, trained_on: data }) {
  const accuracy = predictor[`${kind}_accuracy`];
  if (accuracy == null) return "how often it is right was not measured";
  return `right for ${Math.round(100 * accuracy)} % of ${predictor.faces} faces of other people${data ? `, source ${data.source}` : ""}`;
}

/** What the model was trained on, beside a face in its photograph, and whether the matcher finds somebody else. */
export function personLines(result, inPhoto, { trained_on: data, same_person_from: least }) {
  const people = data?.people === 1 ? "1 person" : `${data?.people} people`;
  const known = data ? `was trained on ${data.name} (source ${data.source}, ${people})` : "does not say what it was trained on";
  const compared = () => `similarity ${result.similarity.toFixed(3)}, one person from ${least.toFixed(3)} on`;
  const stranger = () => `The matcher finds the person nearer to strangers than to the photograph (${compared()}).`;
  return [
    ...(result.same_person === false ? [made("p", { className: "warning", textContent: stranger() })] : []),
    ...(inPhoto ? [made("p", { textContent: `This model ${known}; skin, age or hair that it has not seen may come out as something else.` })] : []),
  ];
}

// The files of a zip whose entries are stored as they are, which the API's are: pictures are packed already.

const END = 0x06054b50, ENTRY = 0x02014b50, END_BYTES = 22;

/** Map from name to Blob; `types` gives media types by the name's ending. */
export async function unzip(blob, types) {
  const view = new DataView(await blob.arrayBuffer());
  let end = view.byteLength - END_BYTES;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Error("The answer is no whole zip.");
  const files = new Map();
  for (let at = view.getUint32(end + 16, true), left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(at, true) !== ENTRY || view.getUint16(at + 10, true) !== 0) throw new Error("The zip cannot be read.");
    const [size, nameLength, extra, comment] = [[20, 32], [28, 16], [30, 16], [32, 16]].map(([offset, bits]) => view[`getUint${bits}`](at + offset, true));
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, nameLength));
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    files.set(name, blob.slice(start, start + size, types[name.split(".").pop()] || ""));
    at += 46 + nameLength + extra + comment;
  }
  return files;
}

// Zips whose entries are stored as they are, which the API's are: pictures are packed already.

const END = 0x06054b50, ENTRY = 0x02014b50, FILE = 0x04034b50, END_BYTES = 22;
const VERSION = [2, 20], UTF8 = [2, 0x800], STORED = [2, 0], NO_TIME = [4, 0x210000]; // the first of January 1980
const CRCS = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = (byte >>> 1) ^ (byte & 1 ? 0xedb88320 : 0);
  return byte;
});

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

/** A zip of `[name, Blob]` pairs. */
export async function zip(files) {
  const parts = [], entries = [];
  let at = 0;
  for (const [name, blob] of files) {
    const title = new TextEncoder().encode(name);
    const about = [VERSION, UTF8, STORED, NO_TIME, [4, crc(new Uint8Array(await blob.arrayBuffer()))], [4, blob.size], [4, blob.size], [2, title.length], [2, 0]];
    const head = record([4, FILE], ...about);
    entries.push(record([4, ENTRY], VERSION, ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), title);
    parts.push(head, title, blob);
    at += head.length + title.length + blob.size;
  }
  const bytes = entries.reduce((sum, entry) => sum + entry.length, 0);
  const end = record([4, END], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, bytes], [4, at], [2, 0]);
  return new Blob([...parts, ...entries, end], { type: "application/zip" });
}

/** Numbers of so many bytes each, the lowest byte first. */
function record(...fields) {
  return Uint8Array.from(fields.flatMap(([size, value]) => Array.from({ length: size }, (_, byte) => (value >>> (8 * byte)) & 255)));
}

function crc(bytes) {
  let value = -1;
  for (const byte of bytes) value = CRCS[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ -1) >>> 0;
}

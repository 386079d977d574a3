/** Text as the wire counts it: lengths and offsets in UTF-16 code units, limits and checksums in UTF-8. */

const utf8 = new TextEncoder();
let table: Int32Array | undefined;

/** How many bytes `text` takes, as UTF-8 where it is not encoded yet. */
export function utf8Length(text: string | Uint8Array<ArrayBuffer> = ""): number {
  return typeof text === "string" ? utf8.encode(text).length : text.length;
}

/** CRC-32 (ISO-HDLC, as in zlib) of the text's UTF-8 bytes, unsigned. */
export function crc32(text: string): number {
  table ??= Int32Array.from({ length: 256 }, remainder);
  let crc = -1;
  for (const byte of utf8.encode(text)) {
    crc = (crc >>> 8) ^ (table[(crc ^ byte) & 255] as number);
  }
  return ~crc >>> 0;
}

function remainder(_: unknown, byte: number): number {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 && 0xedb88320);
  return rest;
}

/** CRC-32 (IEEE) of a text's UTF-8 bytes; `soFar` continues from an earlier part. */
export function crc32(text: string, soFar = 0): number {
  let crc = ~soFar;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

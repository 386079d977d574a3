import type { ClientFrame } from "./frames.ts";

/** How frames travel. */
export interface Codec {
  readonly protocol: string;
  encode(frame: ClientFrame): string | Uint8Array<ArrayBuffer>;
  /** What a message says; throws where it says nothing. */
  decode(data: string | ArrayBuffer): unknown;
}

export const json: Codec = {
  protocol: "parley.v1.json",
  encode: (frame) => JSON.stringify(frame),
  decode: (data) => JSON.parse(data as string),
};

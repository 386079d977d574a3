/** MessagePack in the place of JSON: smaller frames, where both ends can read them. */

import { decode, encode } from "@msgpack/msgpack";

import type { Codec } from "./codec.ts";

export const msgpack: Codec = {
  protocol: "parley.v1.msgpack",
  encode: (frame) => encode(frame, { ignoreUndefined: true }),
  decode: (data) => decode(data as ArrayBuffer),
};

/** A request's body, of which no more is held than a batch may have. */

import { Refusal } from "../_shared/answers.ts";

/** 1 MiB; a thousand of the daemon's events are a quarter of it. */
export const MOST_BYTES = 2 ** 20;
/** As far a body that is too large is read and dropped: to answer before its end breaks the connection of who still sends. */
const MOST_READ = 16 * MOST_BYTES;

/** The raw bytes. Throws Refusal if there are too many, whatever the header says of them. */
export async function read(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  const body = new Uint8Array(MOST_BYTES); // a part kept as it is would keep the engine's whole buffer
  let size = 0;
  for await (const part of request.body ?? []) { // to leave early cancels it
    if (size + part.byteLength <= MOST_BYTES) body.set(part, size);
    size += part.byteLength;
    if (size > MOST_READ) break;
  }
  if (size > MOST_BYTES) {
    throw new Refusal(413, "payload_too_large", `over ${MOST_BYTES} bytes`);
  }
  return body.slice(0, size);
}

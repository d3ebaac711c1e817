/** Takes a signed batch of events of one source and keeps those that are new. */

import { answering, Refusal } from "../_shared/answers.ts";
import type { Store } from "../_shared/store.ts";
import { read } from "./body.ts";
import { parse } from "./events.ts";
import type { KeyOf } from "./keys.ts";
import { verifies } from "./signature.ts";

const DAY = 86_400_000;

export interface Parts {
  readonly store: Pick<Store, "insert">;
  readonly keyOf: KeyOf;
  readonly retentionDays: number;
}

export function ingest({ store, keyOf, retentionDays }: Parts) {
  return answering("POST", async (request) => {
    // first of all: an answer to a body that nobody reads is lost with the connection
    const body = await read(request);
    const source = request.headers.get("X-Source-ID");
    const signature = request.headers.get("X-Signature");
    if (!source || !signature) {
      const message = "X-Source-ID and X-Signature are required";
      throw new Refusal(401, "missing_auth", message);
    }
    const key = await keyOf(source);
    if (!key) {
      throw new Refusal(401, "unknown_source", "there is no key of the source");
    }
    if (!await verifies(key, body, signature)) {
      throw new Refusal(401, "invalid_signature", "it is not the source's");
    }
    const events = parse(body, source, Date.now() - retentionDays * DAY);
    const inserted = await store.insert(events);
    return { inserted, message: `new: ${inserted} of ${events.length}` };
  });
}

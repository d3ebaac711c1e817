/** Tells who has the token how many events each source had, hour by hour. */

import { answering, Refusal } from "../_shared/answers.ts";
import { SOURCE, type Store } from "../_shared/store.ts";
import { same } from "./token.ts";

const DAYS = new Map([["7", 7], ["30", 30]]);

export interface Parts {
  readonly store: Pick<Store, "hours">;
  readonly token: string;
}

export function query({ store, token }: Parts) {
  return answering("GET", async (request) => {
    const offered = request.headers.get("Authorization");
    if (!offered) {
      throw new Refusal(401, "missing_auth", "Authorization is required");
    }
    const [, bearer = ""] = /^bearer +(.+)$/i.exec(offered) ?? [];
    if (!await same(bearer, token)) {
      throw new Refusal(401, "invalid_token", "the token is not known");
    }
    const asked = new URL(request.url).searchParams;
    const days = DAYS.get(asked.get("days") ?? "7");
    if (!days) throw new Refusal(400, "invalid_days", "days is 7 or 30");
    const source = asked.get("source") || null;
    const aggregates = source === null || SOURCE.test(source)
      ? await store.hours(days, source)
      : []; // the database could not even be asked for some
    return {
      aggregates,
      meta: {
        totalCount: aggregates.length,
        daysRequested: days,
        fetchedAt: new Date().toISOString(),
      },
    };
  });
}

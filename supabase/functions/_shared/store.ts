/** The database, by its three functions: nothing else is open even to the secret key. */

import { createClient } from "@supabase/supabase-js";
import { Failure } from "./answers.ts";

/** PostgREST's own statements end after eight seconds. */
const MILLISECONDS = 10_000;

/** What a source may be called. */
export const SOURCE = /^[A-Za-z0-9._-]{1,64}$/;

/** An event as the database takes it. */
export interface Event {
  readonly id: string;
  readonly source: string;
  readonly timestamp: string;
  readonly eventType: string;
  readonly payload: object;
}

/** Events of a source in one hour of UTC; `date` is YYYY-MM-DD. */
export interface Hour {
  readonly source: string;
  readonly date: string;
  readonly hour: number;
  readonly eventCount: number;
}

/** Everything throws Failure when the database does not answer as it should. */
export interface Store {
  /** How many of them were new. */
  insert(events: readonly Event[]): Promise<number>;
  /** The hours of the last days, the newest first; of one source if it is named. */
  hours(days: number, source: string | null): Promise<readonly Hour[]>;
  /** A source's public key in base64, null if there is none or it is revoked. */
  key(source: string): Promise<string | null>;
}

/** The store of a project, over its REST API. */
export function connect({ url, key }: { url: string; key: string }): Store {
  const client = createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
  });

  async function call<T>(
    name: string,
    parameters: object,
    isAnswer: (data: unknown) => data is T,
  ): Promise<T> {
    const { data, error } = await client.rpc(name, parameters)
      .abortSignal(AbortSignal.timeout(MILLISECONDS));
    if (error) throw new Failure(error.code || "unreachable");
    if (!isAnswer(data)) throw new Failure("another answer");
    return data;
  }

  return {
    insert: async (events) => {
      const parameters = { events_json: events };
      const answer = await call("bulk_insert_events", parameters, isCounted);
      return answer.inserted_count;
    },
    hours: (days, source) => {
      const parameters = { days_back: days, source_filter: source };
      return call("get_hourly_aggregates", parameters, areHours);
    },
    key: (source) => call("get_source_key", { source_id: source }, isKey),
  };
}

function isCounted(data: unknown): data is { inserted_count: number } {
  return typeof data === "object" && data !== null &&
    "inserted_count" in data && Number.isInteger(data.inserted_count);
}

function areHours(data: unknown): data is Hour[] {
  return Array.isArray(data);
}

function isKey(data: unknown): data is string | null {
  return data === null || typeof data === "string";
}

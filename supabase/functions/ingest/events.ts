/**
 * From a body to the events it holds, or the Refusal of all of them.
 *
 * What passes here the database takes: one event it could not hold would keep its batch from ever getting in.
 */

import { Refusal } from "../_shared/answers.ts";
import { type Event, SOURCE } from "../_shared/store.ts";

/** Events of one batch. */
const MOST_EVENTS = 1000;
/** How deep a payload may nest; those of the contract do by two. */
const MOST_DEPTH = 32;

const TYPES: ReadonlySet<string> = new Set([
  "session",
  "activity",
  "tool",
  "agent",
  "summary",
  "error",
  "agent_spawn",
  "skill_invocation",
  "token_usage",
  "session_metrics",
  "activity_pattern",
  "model_distribution",
  "todo_progress",
  "file_change",
  "project_activity",
]);

const ID = /^evt_[a-z0-9]{20}$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}){1,3})?Z$/;

/**
 * The events of a batch, of the fields of an event only.
 *
 * @param source whose events they must be
 * @param oldest when the oldest may be of, in milliseconds since the epoch
 */
export function parse(body: Uint8Array, source: string, oldest: number) {
  const found = json(body);
  if (!Array.isArray(found)) {
    throw new Refusal(400, "invalid_request", "not an array of events");
  }
  if (!found.length) throw new Refusal(400, "empty_batch", "no events");
  if (found.length > MOST_EVENTS) {
    throw new Refusal(400, "batch_too_large", `over ${MOST_EVENTS} events`);
  }
  const events = found.map((each, index) => event(each, index + 1));
  check(
    events,
    (each) => Date.parse(each.timestamp) >= oldest,
    "past_retention",
    400,
  );
  check(events, ({ eventType }) => TYPES.has(eventType), "invalid_event_type");
  check(events, (each) => each.source === source, "source_mismatch");
  return events;
}

function json(body: Uint8Array): unknown {
  try {
    // a byte order mark is kept, so that the parser refuses it as all the others do
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return JSON.parse(text.decode(body));
  } catch {
    throw new Refusal(400, "invalid_request", "not JSON");
  }
}

function check(
  events: readonly Event[],
  isRight: (event: Event) => boolean,
  code: string,
  status = 422,
): void {
  const wrong = events.findIndex((event) => !isRight(event));
  if (wrong >= 0) throw new Refusal(status, code, `event ${wrong + 1}`);
}

function event(found: unknown, position: number): Event {
  function demand(right: boolean, field: string): asserts right {
    if (right) return;
    throw new Refusal(400, "invalid_event", `event ${position}: ${field}`);
  }

  demand(isObject(found), "not an object");
  const { id, source, timestamp, type, eventType, payload } = found;
  demand(matches(ID, id), "id");
  demand(matches(SOURCE, source), "source");
  demand(matches(TIMESTAMP, timestamp) && isOnCalendar(timestamp), "timestamp");
  demand(isObject(payload) && isStorable(payload), "payload");
  const kind = type ?? eventType;
  demand(typeof kind === "string", "type");
  demand((eventType ?? kind) === kind, "type and eventType differ");
  return { id, source, timestamp, eventType: kind, payload };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function matches(pattern: RegExp, value: unknown): value is string {
  return typeof value === "string" && pattern.test(value);
}

/** The engine itself takes 30 February for 2 March. */
function isOnCalendar(timestamp: string): boolean {
  const seconds = timestamp.slice(0, 19);
  const time = new Date(`${seconds}Z`);
  return !isNaN(+time) && time.toISOString().startsWith(seconds);
}

/** Whether the database can hold it, and JavaScript a whole number exactly: text without NUL or half a pair. */
function isStorable(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case "string":
      return value.isWellFormed() && !value.includes("\0");
    case "number":
      return Number.isInteger(value)
        ? Number.isSafeInteger(value)
        : Number.isFinite(value);
    case "object":
      return value === null || depth < MOST_DEPTH &&
          Object.entries(value).every(([key, inner]) =>
            isStorable(key) && isStorable(inner, depth + 1)
          );
    default:
      return true;
  }
}

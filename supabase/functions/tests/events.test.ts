import { deepStrictEqual, throws } from "node:assert/strict";
import { parse } from "../ingest/events.ts";

const OLDEST = Date.parse("2026-01-01T00:00:00Z");
const EVENT = {
  id: "evt_k7m2n9p4q1r6s3t8u5v0",
  source: "laptop",
  timestamp: "2026-04-17T12:30:00.123Z",
  type: "tool",
  payload: {
    sessionId: "3f0c9b52",
    tool: "Read",
    count: 2 ** 53 - 1,
    share: 0.25,
    none: null,
    is: true,
  },
};

Deno.test("an event comes out of the fields of an event, its type by one name", () => {
  const { type, ...rest } = EVENT;
  const expected = { ...rest, eventType: "tool" };
  for (
    const given of [
      EVENT,
      { ...rest, eventType: type },
      { ...EVENT, eventType: type },
      { ...EVENT, eventType: null, secret: "not passed on" },
      { ...rest, type: null, eventType: type },
    ]
  ) deepStrictEqual(parsed([given]), [expected]);
});

Deno.test("a timestamp has none, three, six or nine digits of a second", () => {
  for (
    const digits of [
      "",
      ".1",
      ".12",
      ".123",
      ".1234",
      ".123456",
      ".123456789",
      ".123456789012",
    ]
  ) {
    const timestamp = `2028-02-29T23:59:59${digits}Z`;
    const right = [0, 4, 7, 10].includes(digits.length);
    (right ? taken : refused)({ ...EVENT, timestamp }, "timestamp");
  }
});

Deno.test("a missing or ill-formed field makes an event none", () => {
  const { id: _id, ...anonymous } = EVENT;
  refused(anonymous, "id");
  for (
    const [field, values] of Object.entries({
      id: [
        null,
        7,
        "",
        "evt_",
        "evt_K7M2N9P4Q1R6S3T8U5V0",
        `${EVENT.id}0`,
        `${EVENT.id}\n`,
        ` ${EVENT.id}`,
      ],
      source: [
        null,
        7,
        "",
        "my laptop",
        "läptop",
        "a".repeat(65),
        "laptop\n",
        "laptop\0",
      ],
      timestamp: [
        null,
        OLDEST,
        "",
        "2026-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-04-17T24:00:00Z",
        "2026-04-17T12:60:00Z",
        "2026-04-17T12:00:60Z",
        "2026-04-17T12:00:00",
        "2026-04-17T12:00:00+00:00",
        "2026-04-17t12:00:00z",
        "2026-04-17 12:00:00Z",
        "2026-04-17T12:00Z",
        "2026-04-17T12:00:00Z\n",
        "+002026-04-17T12:00:00Z",
        "٢٠٢٦-04-17T12:00:00Z",
      ],
      payload: [null, 7, "{}", [], [{}]],
      type: [null, 7, ["tool"], {}],
    })
  ) {
    for (const value of values) refused({ ...EVENT, [field]: value }, field);
  }
  refused({ ...EVENT, eventType: "session" }, "type and eventType differ");
  for (const other of [null, 7, "event", []]) refused(other, "not an object");
});

Deno.test("a payload the database cannot hold, or that would come out another, makes an event none", () => {
  const nested = (depth: number): unknown =>
    depth ? { a: nested(depth - 1) } : 1;
  for (
    const payload of [
      '{"a": "\\u0000"}',
      '{"\\u0000": 1}',
      '{"a": [{"b": "x\\u0000y"}]}',
      '{"a": "\\ud800"}',
      '{"a": "\\udc00\\ud800"}',
      '{"\\ud83d": 1}',
      '{"a": 1e400}',
      '{"a": 9007199254740993}',
      '{"a": -1e300}',
      JSON.stringify(nested(33)),
      `{"a": ${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
    ]
  ) {
    const body = text({ ...EVENT, payload: "PAYLOAD" }).replace(
      '"PAYLOAD"',
      payload,
    );
    said(body, 400, "invalid_event", "event 1: payload");
  }
  taken({
    ...EVENT,
    payload: { "\u2028": "\ud83d\ude00 \u0001", a: [nested(30)] },
  });
  taken({ ...EVENT, payload: nested(32) });
});

Deno.test("an event older than events are kept is refused, since it would count anew each time", () => {
  taken({ ...EVENT, timestamp: "2026-01-01T00:00:00Z" });
  const old = { ...EVENT, timestamp: "2025-12-31T23:59:59.999Z" };
  said(text(EVENT, old), 400, "past_retention", "event 2");
});

Deno.test("the rows hold in their order for a batch, and name the first event that is wrong", () => {
  const unknown = { ...EVENT, type: "thought" };
  const foreign = { ...EVENT, source: "build-server" };
  const none = { ...EVENT, id: "" };
  said(text(foreign, unknown, none), 400, "invalid_event", "event 3: id");
  said(text(foreign, EVENT, unknown), 422, "invalid_event_type", "event 3");
  said(text(EVENT, foreign, EVENT), 422, "source_mismatch", "event 2");
});

Deno.test("a body is an array in JSON, of one to a thousand", () => {
  for (
    const body of [
      "",
      "[",
      "{}",
      "7",
      "null",
      '"[]"',
      "[1,]",
      "[NaN]",
      '[{"id": "\0"}]',
      "\ufeff[]",
      "[] []",
    ]
  ) {
    throws(() => parse(new TextEncoder().encode(body), "laptop", 0), {
      status: 400,
      code: "invalid_request",
    }, body);
  }
  throws(
    () => parse(Uint8Array.of(0x5b, 0x22, 0xff, 0x22, 0x5d), "laptop", 0),
    { code: "invalid_request" },
  );
  said("[]", 400, "empty_batch", "no events");
  said(
    text(...Array(1001).fill(EVENT)),
    400,
    "batch_too_large",
    "over 1000 events",
  );
  deepStrictEqual(parsed(Array(1000).fill(EVENT)).length, 1000);
});

function parsed(events: unknown[]) {
  return parse(
    new TextEncoder().encode(JSON.stringify(events)),
    "laptop",
    OLDEST,
  );
}

function taken(event: unknown): void {
  deepStrictEqual(parsed([event]).length, 1);
}

function refused(event: unknown, field: string): void {
  said(text(EVENT, event), 400, "invalid_event", `event 2: ${field}`);
}

function said(
  body: string,
  status: number,
  code: string,
  message: string,
): void {
  throws(() => parse(new TextEncoder().encode(body), "laptop", OLDEST), {
    status,
    code,
    message,
  }, body.slice(0, 300));
}

function text(...events: unknown[]): string {
  return JSON.stringify(events);
}

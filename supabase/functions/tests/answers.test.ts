import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { answering, Failure } from "../_shared/answers.ts";
import { ingest } from "../ingest/handler.ts";
import { query } from "../query/handler.ts";

const SECRET = "a word of the database";

Deno.test("whatever goes wrong inside, the answer says nothing of it, nor does the log", async () => {
  const logged: unknown[][] = [];
  const { error } = console;
  console.error = (...said) => logged.push(said);
  try {
    for (
      const thrown of [
        new Error(SECRET),
        new TypeError(SECRET),
        new Failure("57P03"),
        SECRET,
        null,
        { SECRET },
      ]
    ) {
      const fail = answering("GET", () => Promise.reject(thrown));
      const answer = await fail(new Request("http://127.0.0.1/query"));
      strictEqual(answer.status, 500);
      strictEqual(answer.headers.get("Access-Control-Allow-Origin"), "*");
      deepStrictEqual(await answer.json(), {
        error: "internal_error",
        message: "it failed here; try again later",
      });
    }
  } finally {
    console.error = error;
  }
  ok(!JSON.stringify(logged).includes(SECRET));
  deepStrictEqual(logged[2], ["failed:", "Failure", "57P03"]);
});

Deno.test("a store that fails is an internal error of both functions", async () => {
  const failing = () => Promise.reject(new Failure("57P03"));
  const { error } = console;
  console.error = () => {};
  try {
    const ask = query({ store: { hours: failing }, token: "token" });
    const send = ingest({
      store: { insert: failing },
      keyOf: failing,
      retentionDays: 90,
    });
    const asked = await ask(
      new Request("http://127.0.0.1/", {
        headers: { Authorization: "Bearer token" },
      }),
    );
    const headers = { "X-Source-ID": "laptop", "X-Signature": "AA==" };
    const sent = await send(
      new Request("http://127.0.0.1/", { method: "POST", body: "[]", headers }),
    );
    deepStrictEqual([asked.status, sent.status], [500, 500]);
  } finally {
    console.error = error;
  }
});

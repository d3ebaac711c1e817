import {
  deepStrictEqual,
  rejects,
  strictEqual,
  throws,
} from "node:assert/strict";
import { Failure } from "../_shared/answers.ts";
import { registry } from "../ingest/keys.ts";

const KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const OTHER = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
const SMALL = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/** A table that holds this for every source, and which sources it was asked for. */
function table(key: string | null) {
  const asked: string[] = [];
  return {
    asked,
    key: (source: string) => {
      asked.push(source);
      return Promise.resolve(key);
    },
  };
}

Deno.test("the variable's keys win, the last of a source over its others, and the table is not asked", async () => {
  const store = table(OTHER);
  const keyOf = registry(
    ` laptop : ${OTHER} ,, laptop:${KEY},a.b-c_D:${OTHER}, `,
    store,
  );
  strictEqual(text(await keyOf("laptop")), KEY);
  strictEqual(text(await keyOf("a.b-c_D")), OTHER);
  deepStrictEqual(store.asked, []);
});

Deno.test("of another source the table is asked, each time", async () => {
  const store = table(KEY);
  const keyOf = registry("", store);
  strictEqual(text(await keyOf("laptop")), KEY);
  strictEqual(text(await keyOf("laptop")), KEY);
  deepStrictEqual(store.asked, ["laptop", "laptop"]);
});

Deno.test("what no source is called is not asked for", async () => {
  const store = table(KEY);
  const keyOf = registry(`laptop:${KEY}`, store);
  for (
    const source of [
      "",
      "my laptop",
      "läptop",
      "a".repeat(65),
      "laptop\0",
      "constructor:",
    ]
  ) {
    strictEqual(await keyOf(source), null);
  }
  deepStrictEqual(store.asked, []);
});

Deno.test("a source whose key in the table is missing or none is unknown", async () => {
  for (const key of [null, "", "no key", SMALL, KEY.slice(1)]) {
    strictEqual(await registry("", table(key))("laptop"), null);
  }
});

Deno.test("a table that cannot be asked is no unknown source", async () => {
  const keyOf = registry("", {
    key: () => Promise.reject(new Failure("57P03")),
  });
  await rejects(keyOf("laptop"), Failure);
});

Deno.test("a variable that is wrong stops the start, naming the source and never the key", () => {
  for (
    const [variable, message] of [
      ["laptop", "part 1 is not source:key"],
      [`laptop:${KEY},${OTHER}`, "part 2 is not source:key"],
      [`:${KEY}`, "part 1 is not source:key"],
      [`my laptop:${KEY}`, "part 1 is not source:key"],
      ["laptop:", "part 1: the key of laptop is none"],
      [`laptop:${KEY}:${KEY}`, "part 1: the key of laptop is none"],
      [`laptop:${SMALL}`, "part 1: the key of laptop is none"],
    ]
  ) {
    throws(() => registry(variable, table(null)), {
      message: `VIBETEA_PUBLIC_KEYS: ${message}`,
    });
  }
});

function text(key: Uint8Array | null): string | null {
  return key && btoa(String.fromCharCode(...key));
}

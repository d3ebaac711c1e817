import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { MOST_BYTES, read } from "../ingest/body.ts";

const TOO_LARGE = { status: 413, code: "payload_too_large" };

/** A body in parts of 64 KiB that says nothing of its length; counts the parts that were taken of it. */
function streamed(parts: number) {
  const taken = { parts: 0 };
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (taken.parts === parts) controller.close();
      else controller.enqueue(new Uint8Array(65_536).fill(++taken.parts));
    },
  });
  return { request: post(body), taken };
}

function post(body: BodyInit | null, headers: HeadersInit = {}): Request {
  return new Request("http://127.0.0.1/ingest", {
    method: "POST",
    body,
    headers,
  });
}

Deno.test("a body of one mebibyte is read as it is", async () => {
  const body = await read(streamed(16).request);
  strictEqual(body.length, MOST_BYTES);
  deepStrictEqual([body[0], body[65_535], body[65_536], body[MOST_BYTES - 1]], [
    1,
    1,
    2,
    16,
  ]);
  deepStrictEqual(await read(post("[]")), new TextEncoder().encode("[]"));
  deepStrictEqual(await read(post(null)), new Uint8Array());
});

Deno.test("a larger one is refused, and not read for ever", async () => {
  const { request, taken } = streamed(1_000_000);
  await rejects(read(request), TOO_LARGE);
  ok(taken.parts < 300);
});

Deno.test("one a little larger is read to its end, so that the answer gets there", async () => {
  const { request, taken } = streamed(17);
  await rejects(read(request), TOO_LARGE);
  strictEqual(taken.parts, 17);
});

Deno.test("what a header says of its length does not matter", async () => {
  const large = new Uint8Array(MOST_BYTES + 1);
  await rejects(read(post(large, { "Content-Length": "2" })), TOO_LARGE);
});

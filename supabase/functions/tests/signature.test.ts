import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { publicKey, verifies } from "../ingest/signature.ts";

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const PRIME = 2n ** 255n - 19n;
const EIGHTH =
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
const BODY = bytes(new TextEncoder().encode("[]"));

/** By another implementation, from the seed 00 01 … 1f, over `[]`. */
const KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const SIGNATURE =
  "EIPnYuFyUP4F/eD9l4QZTJduZIE6MFhV4iI1LRX6kNKWJu2MdItwgI0xEHvKrFI2eGa34kOCTu9AumNeFQn+BA==";

Deno.test("a signature of another implementation verifies, over its body only", async () => {
  const key = publicKey(KEY)!;
  strictEqual(await verifies(key, BODY, SIGNATURE), true);
  strictEqual(await verifies(key, bytes([0x5b]), SIGNATURE), false);
  const other = publicKey(base64((await pair()).key))!;
  strictEqual(await verifies(other, BODY, SIGNATURE), false);
});

Deno.test("a key is 32 bytes of canonical base64", () => {
  const raw = binary(KEY);
  deepStrictEqual(publicKey(KEY), raw);
  for (
    const text of [
      "",
      "no base64",
      KEY.slice(0, -1),
      `${KEY}\n`,
      ` ${KEY}`,
      KEY.replace("/", "_"),
      KEY.replace("g=", "h="), // the same bytes, with a stray bit
      base64(raw.slice(1)),
      base64(bytes([...raw, 0])),
      "é".repeat(44),
    ]
  ) strictEqual(publicKey(text), null, text);
});

Deno.test("a signature is 64 bytes of canonical base64", async () => {
  const key = publicKey(KEY)!;
  const raw = binary(SIGNATURE);
  for (
    const text of [
      "",
      SIGNATURE.replaceAll("=", ""),
      `${SIGNATURE} `,
      base64(raw.slice(0, 63)),
      base64(bytes([...raw, 0])),
      "é".repeat(88),
    ]
  ) strictEqual(await verifies(key, BODY, text), false, text);
});

Deno.test("a key of small order or in a second encoding is none", () => {
  const ys = [0n, 1n, PRIME - 1n, EIGHTH, PRIME - EIGHTH];
  const again = [PRIME, PRIME + 1n, 2n ** 255n - 1n];
  for (const y of [...ys, ...again]) {
    for (const sign of [0n, 1n]) {
      const point = base64(encoded(y + (sign << 255n)));
      strictEqual(publicKey(point), null, point);
    }
  }
});

Deno.test("what the engine takes for a signature by a key of small order is none", async () => {
  const { key: r, scalar } = await pair();
  const signature = bytes([...r, ...encoded(scalar)]);
  strictEqual(await engine(encoded(1n), signature), true);
  strictEqual(publicKey(base64(encoded(1n))), null);
});

Deno.test("a signature with an R of small order is none, though its equation holds", async () => {
  const { key, scalar } = await pair();
  const r = encoded(1n);
  const s = await challenge(r, key) * scalar % ORDER;
  const signature = bytes([...r, ...encoded(s)]);
  strictEqual(await engine(key, signature), true);
  strictEqual(await verifies(key, BODY, base64(signature)), false);
});

Deno.test("a signature's S is smaller than the order: no second signature can be made of one", async () => {
  const raw = binary(SIGNATURE);
  const s = number(raw.slice(32));
  const second = bytes([...raw.slice(0, 32), ...encoded(s + ORDER)]);
  strictEqual(await verifies(publicKey(KEY)!, BODY, base64(second)), false);
});

Deno.test("a key that is no point of the curve verifies nothing", async () => {
  const key = publicKey(base64(encoded(2n)))!;
  strictEqual(await verifies(key, BODY, SIGNATURE), false);
});

/** A new key and its secret scalar. */
async function pair() {
  const made = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const key = bytes(
    new Uint8Array(await crypto.subtle.exportKey("raw", made.publicKey)),
  );
  const secret = new Uint8Array(
    await crypto.subtle.exportKey("pkcs8", made.privateKey),
  );
  const half = (await sha512(secret.slice(-32))).slice(0, 32);
  half[0] &= 248;
  half[31] = half[31] & 127 | 64;
  return { key, scalar: number(half) % ORDER };
}

async function challenge(r: Uint8Array, key: Uint8Array): Promise<bigint> {
  return number(await sha512(bytes([...r, ...key, ...BODY]))) % ORDER;
}

async function engine(
  key: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, [
    "verify",
  ]);
  return crypto.subtle.verify("Ed25519", imported, signature, BODY);
}

async function sha512(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-512", data));
}

function number(raw: Uint8Array): bigint {
  return raw.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
}

function encoded(value: bigint): Uint8Array<ArrayBuffer> {
  return bytes(
    Array.from(
      { length: 32 },
      (_, at) => Number(value >> BigInt(8 * at) & 255n),
    ),
  );
}

function bytes(of: Iterable<number>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(of);
}

function binary(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function base64(raw: Uint8Array): string {
  return btoa(String.fromCharCode(...raw));
}

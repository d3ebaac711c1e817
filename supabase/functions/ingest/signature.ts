/**
 * Ed25519 as strict as libsodium's, which the relay uses: what one takes, the other takes.
 *
 * The engine verifies. What it would let pass is refused here: points of small order, for which one signature fits any
 * body, and second encodings of a number.
 */

export type Bytes = Uint8Array<ArrayBuffer>;

const PRIME = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const EIGHTH =
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
/** The y of the eight points of small order; x and its sign are of no account. */
const SMALL = [0n, 1n, PRIME - 1n, EIGHTH, PRIME - EIGHTH];

/** The raw public key of a text, or null if it is none: canonical base64 of 32 bytes, a point of large order. */
export function publicKey(text: string): Bytes | null {
  const key = decoded(text);
  return key?.length === 32 && isPoint(key) ? key : null;
}

/** Whether a signature in base64 is that of the key's holder over the body. */
export async function verifies(
  key: Bytes,
  body: Bytes,
  signature: string,
): Promise<boolean> {
  const raw = decoded(signature);
  if (raw?.length !== 64) return false;
  const [r, s] = [raw.subarray(0, 32), raw.subarray(32)];
  if (!isPoint(r) || number(s) >= ORDER) return false;
  const imported = await crypto.subtle
    .importKey("raw", key, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, raw, body);
}

/** The bytes of standard base64 with padding in its one canonical form, else null. */
function decoded(text: string): Bytes | null {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  // spaces, missing padding and stray bits are forgiven above
  if (btoa(binary) !== text) return null;
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function isPoint(bytes: Uint8Array): boolean {
  const y = number(bytes) & (2n ** 255n - 1n);
  return y < PRIME && !SMALL.includes(y);
}

/** Little-endian. */
function number(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
}

/** Who may send: the keys the environment names, and after those the table's, where one can be revoked at once. */

import { SOURCE, type Store } from "../_shared/store.ts";
import { type Bytes, publicKey } from "./signature.ts";

export type KeyOf = (source: string) => Promise<Bytes | null>;

/**
 * Finds a source's key. The table is asked each time, so that a revoked key is refused at once: a source sends a batch a minute.
 *
 * @param variable `source:key,source:key`; the last of a source wins. Throws Error on what is no such pair
 */
export function registry(variable: string, store: Pick<Store, "key">): KeyOf {
  const given = new Map(pairs(variable));
  return async (source) => {
    const known = given.get(source);
    if (known || !SOURCE.test(source)) return known ?? null;
    return publicKey(await store.key(source) ?? "");
  };
}

function* pairs(variable: string): Generator<[string, Bytes]> {
  for (const [index, part] of variable.split(",").entries()) {
    if (!part.trim()) continue;
    const where = `VIBETEA_PUBLIC_KEYS: part ${index + 1}`;
    const [source, text] = /^([^:]*):(.*)$/s.exec(part)?.slice(1) ?? ["", ""];
    const name = source.trim();
    if (!SOURCE.test(name)) throw new Error(`${where} is not source:key`);
    const key = publicKey(text.trim());
    if (!key) throw new Error(`${where}: the key of ${name} is none`);
    yield [name, key];
  }
}

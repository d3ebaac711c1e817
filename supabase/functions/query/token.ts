/** Whether two texts are the same, in a time that tells nothing of where they differ. */
export async function same(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([digest(one), digest(other)]);
  return first.reduce((sum, byte, at) => sum | (byte ^ second[at]), 0) === 0;
}

async function digest(text: string): Promise<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

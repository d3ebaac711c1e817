/** What the environment sets. A value that cannot be used stops the start; its name is told, the value never is. */

export interface Environment {
  get(name: string): string | undefined;
}

/** Where the project's API is, and the key that may do what the functions do. */
export function project(env: Environment): { url: string; key: string } {
  return {
    url: required(env, "SUPABASE_URL"),
    key: secretKey(env) ?? required(env, "SUPABASE_SERVICE_ROLE_KEY"),
  };
}

/** What a client must bring to ask; as long as a relay wants it, since nobody counts the guesses. */
export function subscriberToken(env: Environment): string {
  const token = required(env, "VIBETEA_SUBSCRIBER_TOKEN");
  if (token.length < 16) {
    throw new Error("VIBETEA_SUBSCRIBER_TOKEN is shorter than 16 characters");
  }
  return token;
}

/** Days that events are kept; older ones would count anew each time they are sent. */
export function retentionDays(env: Environment): number {
  const days = env.get("VIBETEA_RETENTION_DAYS")?.trim() || "90";
  if (!/^[1-9]\d{0,4}$/.test(days)) {
    throw new Error("VIBETEA_RETENTION_DAYS is not 1 to 99999");
  }
  return Number(days);
}

function required(env: Environment, name: string): string {
  const value = env.get(name)?.trim();
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** The secret key named `default`, or else the first. */
function secretKey(env: Environment): string | undefined {
  const text = env.get("SUPABASE_SECRET_KEYS")?.trim();
  if (!text) return undefined;
  let keys: unknown;
  try {
    keys = JSON.parse(text);
  } catch {
    // the parser's message would show the keys
  }
  if (typeof keys !== "object") keys = null; // a text's letters are no keys
  const named = new Map<string, unknown>(Object.entries(keys ?? {}));
  const key = named.get("default") ?? [...named.values()][0];
  if (typeof key !== "string" || !key) {
    throw new Error("SUPABASE_SECRET_KEYS names no key");
  }
  return key;
}

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import {
  project,
  retentionDays,
  subscriberToken,
} from "../_shared/environment.ts";

const PROJECT = {
  SUPABASE_URL: "https://project.example",
  SUPABASE_SERVICE_ROLE_KEY: "old",
};

function environment(values: Record<string, string>) {
  return new Map(Object.entries(values));
}

Deno.test("the secret keys win over the service role's, the default one over the others", () => {
  for (
    const [keys, key] of [
      ["", "old"],
      ['{"default": "sb_secret_d"}', "sb_secret_d"],
      ['{"ci": "sb_secret_c", "default": "sb_secret_d"}', "sb_secret_d"],
      ['{"ci": "sb_secret_c"}', "sb_secret_c"],
    ]
  ) {
    const found = project(
      environment({ ...PROJECT, SUPABASE_SECRET_KEYS: keys }),
    );
    deepStrictEqual(found, { url: PROJECT.SUPABASE_URL, key });
  }
});

Deno.test("what cannot be used stops the start and is not shown", () => {
  for (
    const keys of [
      "sb_secret_x",
      "{}",
      "[]",
      "null",
      '{"default": 7}',
      '{"default": ""}',
      '"sb_secret_x"',
    ]
  ) {
    const env = environment({ ...PROJECT, SUPABASE_SECRET_KEYS: keys });
    throws(
      () => project(env),
      { message: "SUPABASE_SECRET_KEYS names no key" },
      keys,
    );
  }
  throws(() => project(environment({})), {
    message: "SUPABASE_URL is not set",
  });
  throws(
    () => project(environment({ SUPABASE_URL: "https://project.example" })),
    {
      message: "SUPABASE_SERVICE_ROLE_KEY is not set",
    },
  );
});

Deno.test("the token is trimmed, and an empty one is none", () => {
  strictEqual(
    subscriberToken(
      environment({ VIBETEA_SUBSCRIBER_TOKEN: " 0123456789abcdef\n" }),
    ),
    "0123456789abcdef",
  );
  throws(
    () =>
      subscriberToken(
        environment({ VIBETEA_SUBSCRIBER_TOKEN: "0123456789abcde" }),
      ),
    { message: "VIBETEA_SUBSCRIBER_TOKEN is shorter than 16 characters" },
  );
  for (const values of [{}, { VIBETEA_SUBSCRIBER_TOKEN: " \n" }]) {
    throws(
      () => subscriberToken(environment(values as Record<string, string>)),
      {
        message: "VIBETEA_SUBSCRIBER_TOKEN is not set",
      },
    );
  }
});

Deno.test("events are kept for ninety days unless it is said otherwise", () => {
  strictEqual(retentionDays(environment({})), 90);
  strictEqual(
    retentionDays(environment({ VIBETEA_RETENTION_DAYS: " 365 " })),
    365,
  );
  for (const days of ["0", "-1", "1.5", "ninety", "1e3", "100000"]) {
    throws(
      () => retentionDays(environment({ VIBETEA_RETENTION_DAYS: days })),
      /VIBETEA_RETENTION_DAYS/,
    );
  }
});

import { project, retentionDays } from "../_shared/environment.ts";
import { connect } from "../_shared/store.ts";
import { ingest } from "./handler.ts";
import { registry } from "./keys.ts";

const store = connect(project(Deno.env));

export default {
  fetch: ingest({
    store,
    keyOf: registry(Deno.env.get("VIBETEA_PUBLIC_KEYS") ?? "", store),
    retentionDays: retentionDays(Deno.env),
  }),
};

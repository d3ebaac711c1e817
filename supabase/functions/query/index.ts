import { project, subscriberToken } from "../_shared/environment.ts";
import { connect } from "../_shared/store.ts";
import { query } from "./handler.ts";

export default {
  fetch: query({
    store: connect(project(Deno.env)),
    token: subscriberToken(Deno.env),
  }),
};

/** How both functions answer: JSON that any page may read, and never a word of what went wrong inside. */

const HEADERS = {
  "Access-Control-Allow-Origin": "*",
  // the daemon's, the clients', and those supabase-js adds of its own accord
  "Access-Control-Allow-Headers":
    "authorization, apikey, content-type, x-client-info, x-signature, x-source-id",
  "Access-Control-Max-Age": "86400",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
};

/** A request that is not done; all of it is told to who asked. */
export class Refusal extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

/** What went wrong with the other end; `code` is its own short word for it, which goes to the log. */
export class Failure extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}

/**
 * The handler of a function that knows one method.
 *
 * @param work what it does: the value it returns is answered with 200, its Refusal as it says, any other error with 500
 */
export function answering(
  method: "GET" | "POST",
  work: (request: Request) => Promise<unknown>,
): (request: Request) => Promise<Response> {
  const methods = `${method}, OPTIONS`;
  const headers = {
    ...HEADERS,
    "Access-Control-Allow-Methods": methods,
    "Allow": methods,
  };
  return async (request) => {
    if (request.method === "OPTIONS") {
      return new Response(null, { status: 204, headers });
    }
    try {
      if (request.method !== method) {
        throw new Refusal(405, "method_not_allowed", `use ${method}`);
      }
      return Response.json(await work(request), { headers });
    } catch (error) {
      const { status, code, message } = error instanceof Refusal
        ? error
        : internal(error);
      return Response.json({ error: code, message }, { status, headers });
    }
  };
}

/** Its message and stack could hold what was sent: the log gets a name and a code only. */
function internal(error: unknown): Refusal {
  const name = error instanceof Error ? error.constructor.name : typeof error;
  console.error("failed:", name, error instanceof Failure ? error.code : "");
  return new Refusal(500, "internal_error", "it failed here; try again later");
}

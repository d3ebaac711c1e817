// What an event says in a few words: {icon, tone, what, detail, note}. Tones are plain, quiet, good, bad, attention.
// Values are whatever the database holds, so each is read as text or as a number before it is used.

import { short } from "./when.js";

const LONGEST = 80;

const TOOL_ICONS = {
  Agent: "branch", Task: "branch",
  Bash: "terminal", BashOutput: "terminal", PowerShell: "terminal",
  Edit: "pencil", MultiEdit: "pencil", NotebookEdit: "pencil", Write: "pencil",
  Glob: "search", Grep: "search", LS: "search", ToolSearch: "search",
  Read: "page", NotebookRead: "page",
  TaskCreate: "list", TaskUpdate: "list", TodoWrite: "list",
  WebFetch: "globe", WebSearch: "globe",
};

const STATES = {
  working: ["play", "quiet", "Working"],
  waiting_permission: ["bell", "attention", "Needs permission"],
  waiting_input: ["check", "good", "Turn finished"],
  interrupted: ["stop", "bad", "Interrupted"],
  compacting: ["fold", "quiet", "Compacting its context"],
  compacted: ["fold", "plain", "Context compacted"],
  finished: ["check", "good", "Finished"],
};

const ACTIVITIES = {
  prompt: ["speech", "plain", "Prompt"],
  machine: ["speech", "quiet", "Woken by a task"],
  cwd_changed: ["dot", "quiet", "Changed directory"],
  config_changed: ["dot", "quiet", "Settings changed"],
  instructions_loaded: ["dot", "quiet", "Instructions loaded"],
  directory_added: ["dot", "quiet", "Directory added"],
  worktree_removed: ["dot", "quiet", "Worktree removed"],
  model_switched: ["swap", "plain", "Switched model"],
  setup: ["dot", "quiet", "Set up"],
  teammate_idle: ["dot", "quiet", "Teammate idle"],
  notification: ["bell", "plain", "Notification"],
};

const TYPES = {
  session: (event, payload) =>
    payload.action === "ended"
      ? words("stop", "plain", "Session ended", human(payload.reason))
      : words("play", "good", "Session started", payload.how === "startup" ? "" : human(payload.how)),
  activity: (event, payload) => {
    const [icon, tone, what] = own(ACTIVITIES, event.state) ?? ["dot", "quiet", human(event.state) || "Activity"];
    return words(icon, tone, what, [text(payload.fromModel), text(payload.toModel)].filter(Boolean).join(" to "));
  },
  tool,
  agent: (event) => {
    const [icon, tone, what] = own(STATES, event.state) ?? ["dot", "plain", human(event.state) || "Agent"];
    return words(icon, tone, what);
  },
  summary: (event, payload) => words("page", "quiet", "Summary", text(payload.summary)),
  error: (event, payload) => words("cross", "bad", "Error", human(payload.category)),
  agent_spawn: (event, payload) => words("branch", "plain", "Subagent started", text(payload.agentType)),
  skill_invocation: (event, payload) => words("bolt", "plain", `/${text(payload.skillName)}`),
  token_usage: (event, payload) =>
    words(
      "coins",
      "quiet",
      `${count(payload.inputTokens)} tokens in / ${count(payload.outputTokens)} out,`,
      text(payload.model) || "model unknown",
      payload.cacheReadTokens > 0 ? `${count(payload.cacheReadTokens)} cached` : "",
    ),
  session_metrics: (event, payload) =>
    words("dot", "quiet", "Totals", `${count(payload.totalSessions)} sessions, ${count(payload.totalMessages)} messages`),
  activity_pattern: () => words("dot", "quiet", "Activity by hour counted"),
  model_distribution: () => words("dot", "quiet", "Tokens by model counted"),
  todo_progress: (event, payload) => {
    const all = ["completed", "inProgress", "pending", "abandoned"].reduce((sum, key) => sum + (Number(payload[key]) || 0), 0);
    return words("list", "plain", `${count(payload.completed)} of ${count(all)} tasks done`);
  },
  file_change: (event, payload) =>
    words("pencil", "plain", "File changed", `+${count(payload.linesAdded)} −${count(payload.linesRemoved)}`),
  project_activity: (event, payload) => words("dot", "quiet", payload.isActive ? "Project active" : "Project idle"),
};

const OUTCOMES = {
  failed: ["bad", "failed"],
  interrupted: ["bad", "interrupted"],
  refused: ["attention", "refused"],
};

export function describe(event) {
  const payload = event.payload !== null && typeof event.payload === "object" ? event.payload : {};
  const say = own(TYPES, event.type) ?? (() => words("dot", "plain", human(event.type) || "Event"));
  return say(event, payload);
}

/** A value as one short line of text; "" if it is none. */
export function text(value) {
  const whole = typeof value === "string" || typeof value === "number" ? String(value) : "";
  return whole.length > LONGEST ? `${whole.slice(0, LONGEST)}…` : whole;
}

function tool(event, payload) {
  const name = text(event.tool) || "Tool";
  const icon = own(TOOL_ICONS, name) ?? "wrench";
  const context = text(payload.context);
  if (event.status === "started") return words(icon, "quiet", name, context || "started");
  const [tone, outcome] = own(OUTCOMES, event.outcome) ?? ["plain", ""];
  return words(icon, tone, [name, outcome].filter(Boolean).join(" "), context, duration(event.duration_ms));
}

function words(icon, tone, what, detail = "", note = "") {
  return { icon, tone, what, detail, note };
}

// "constructor" is a word like any other, and no entry
export function own(table, word) {
  return typeof word === "string" && Object.hasOwn(table, word) ? table[word] : undefined;
}

export function human(value) {
  return text(value).replaceAll("_", " ");
}

function count(value) {
  return short(Number(value) || 0);
}

export function duration(milliseconds) {
  if (typeof milliseconds !== "number") return "";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${Math.floor(milliseconds / 60_000)} min ${Math.floor((milliseconds % 60_000) / 1000)} s`;
}

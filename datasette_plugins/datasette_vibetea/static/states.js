// What a session or a subagent does, in words: {icon, what, detail, time}, where `time(now)` goes on from `what`.

import { human, own, text } from "./words.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

const waiting = (since, now) => ` · waiting ${span(now - since)}`;
const ago = (since, now) => ` · ${span(now - since)} ago`;
const lasting = (since, now) => ` · ${span(now - since)}`;
const clock = (since, now) => ` since ${(new Date(now).toDateString() === new Date(since).toDateString() ? CLOCK : DAY).format(since)}`;

const REASONS = {
  needs_you: {
    permission: ["bell", "Needs permission", waiting],
    question: ["speech", "Asks a question", waiting],
    turn_finished: ["check", "Turn finished", ago],
    turn_failed: ["cross", "Turn failed", ago],
  },
  idle: { started: ["dot", "Started", ago] },
  ended: { finished: ["check", "Finished", ago] },
};
const STATES = {
  needs_you: ["bell", "Needs you", waiting],
  working: ["play", "Working", lasting],
  interrupted: ["stop", "Interrupted", ago],
  idle: ["dot", "Idle", clock],
  dead: ["cross", "Died (process gone)", ago],
  ended: ["stop", "Ended", ago],
};
const ENDS = { prompt_input_exit: "", other: "", finished: "", logout: "logged out", resume: "another was resumed", clear: "cleared" };

export function describe({ state, reason, since, tool }) {
  const [icon, what, say] = own(own(REASONS, state) ?? {}, reason) ?? own(STATES, state) ?? ["dot", human(state) || "Unknown", ago];
  const at = Date.parse(since);
  return {
    icon,
    what,
    detail: state === "ended" ? (own(ENDS, reason) ?? human(reason)) : text(tool),
    time: (now) => (Number.isNaN(at) ? "" : say(at, now)),
  };
}

/** How long, to the second in the first minute. A clock that is ahead of ours has not begun. */
function span(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 10) return `${hours} h ${minutes % 60} min`;
  if (hours < 24) return `${hours} h`;
  return hours < 48 ? "1 day" : `${Math.floor(hours / 24)} days`;
}

// The chip that says whether what is shown is true now.

const WORDS = {
  connecting: "Connecting",
  live: "Live",
  no_daemon: "No daemon · vibetea up",
  reconnecting: "Reconnecting",
  waiting: "Waiting",
  paused: "Paused while hidden",
};
const chip = document.getElementById("connection");

export function showConnection(state) {
  chip.dataset.state = state;
  chip.textContent = WORDS[state];
}

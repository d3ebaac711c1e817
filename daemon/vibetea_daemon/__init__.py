"""The daemon: sources → normaliser → sanitiser → store. See `docs/architecture.md` for the way of an event."""

"""Claude Code's own formats: hook payloads, transcripts, and what each becomes."""

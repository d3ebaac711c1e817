"""Where acts come from: the hook socket, the inbox, and the transcripts."""

"""VibeTea."""

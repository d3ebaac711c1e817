"""The relay: takes signed events from many machines and passes them on to many watchers."""

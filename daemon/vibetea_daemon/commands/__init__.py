"""What each command does; `vibetea_daemon.cli` holds their options, so that `--help` imports none of this."""

"""`python -m vibetea_daemon` is the `vibetea` command."""

from vibetea_daemon.cli import main

main()

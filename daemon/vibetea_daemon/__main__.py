"""`python -m vibetea_daemon` is the `vibetea` command."""

from vibetea_daemon.start import main

main()

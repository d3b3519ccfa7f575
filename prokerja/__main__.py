"""`python -m prokerja` does what `prokerja` does."""

from prokerja.cli import main

main()

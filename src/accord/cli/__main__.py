"""`python -m accord.cli` is `accord`."""

from accord.cli.main import main

main(prog_name="accord")

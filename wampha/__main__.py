"""`python -m wampha` is the `wampha` command."""

from wampha.cli import main

main(prog_name="wampha")

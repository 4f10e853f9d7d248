"""`python -m kappamask.cli` does what `kappamask` does."""

from kappamask.cli import main

main()

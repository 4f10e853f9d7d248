"""`python -m kappamask` does what `kappamask` does."""

from kappamask.cli import main

main()

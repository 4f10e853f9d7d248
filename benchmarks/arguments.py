"""Parse the arguments of the benchmarks."""

import argparse


def make_parser(documentation: str | None) -> argparse.ArgumentParser:
    """Make a parser whose `--help` prints a script's docstring as it is written."""
    return argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)

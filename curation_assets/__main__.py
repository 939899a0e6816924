"""`curation`, and `python -m curation_assets`: the command line, which may be interrupted while it still loads."""

import signal
import sys


def main() -> None:
    """Run the command line.

    Until it is loaded an interrupt ends the process at once, as it ends any program: there is nothing to put in order.
    """
    waiting = signal.getsignal(signal.SIGINT)
    if waiting is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from curation_assets.cli import app

    if waiting is signal.default_int_handler:
        signal.signal(signal.SIGINT, waiting)
    sys.exit(app())


if __name__ == "__main__":
    main()

"""`python -m server` is `parley`."""

import os
import signal
import sys

# Before anything of ours is loaded, which takes a second. A KeyboardInterrupt would end in a
# traceback, and one that meets a callback of the import system or of the collector is dropped. A
# server and a chat put handlers of their own in this one's place; all else survives a kill.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else our caller ignores it
    signal.signal(signal.SIGINT, lambda signum, _: os._exit(128 + signum))

from server.cli import main

sys.exit(main())

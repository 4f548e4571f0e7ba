"""`python -m nbchat` is the command line."""

import sys

from nbchat.cli import main

sys.exit(main())

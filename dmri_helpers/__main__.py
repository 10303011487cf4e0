"""``python -m dmri_helpers``: the command line."""

import os
import sys

from .cli import main

if __name__ == "__main__":
    status = main()
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:  # threads of PyTorch's process group that outlive it
        sys.stdout.flush()  # abort, once in a while, a process that ends by itself when all its work is done
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)

"""U-GAT-IT: networks, losses, data, the training loop and what is measured of it."""

import os

# Read when torch loads its OpenMP: idle threads spin briefly, then sleep. By default they spin for
# long, and beside other processes on the same cores an iteration takes twenty times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

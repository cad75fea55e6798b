"""U-GAT-IT: networks, losses, data, the training loop and what is measured of it."""

import os

# Read when torch loads its OpenMP: idle threads then sleep. By default they spin, and beside other
# processes on the same cores an iteration takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

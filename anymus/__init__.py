"""Anymus: photo face to manga face, from a scraped picture to a converted folder."""

import os

# Read when torch loads its OpenMP: idle threads spin briefly, then sleep. By default they spin for
# long, and beside other processes on the same cores an iteration takes twenty times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Read when the first model is built: the search for plugins opens the metadata of every package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

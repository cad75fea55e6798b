"""Training: U-GAT-IT, from its layers to its evaluation."""

import anymus as _anymus  # noqa: F401 - before torch: it tells OpenMP how to wait

"""Files as sources of rows for training: CSV, Parquet, Arrow, NPY, NPZ and HDF5, larger than memory or not."""

from __future__ import annotations

from relu_layers.sources._opening import open_source
from relu_layers.sources._rows import FileSource, Part, RowReader

__all__ = ["FileSource", "Part", "RowReader", "open_source"]

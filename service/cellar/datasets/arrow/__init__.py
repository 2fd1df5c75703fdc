"""Reads files of Parquet and Arrow. Needs pyarrow (extra `cellar-serve[parquet]`)."""

"""polars.py TEXT OUT: word count with Polars."""
import sys

sys.path.pop(0)  # this file has the name of the package
import polars as pl

text, out = sys.argv[1:]
lines = pl.scan_csv(text, has_header=False, separator="\x01", quote_char=None, new_columns=["line"],
                    encoding="utf8-lossy", infer_schema=False, truncate_ragged_lines=True)
words = lines.select(pl.col("line").str.extract_all(r"[^ \t\n\r\x0b\x0c]+").explode().alias("word")).drop_nulls()
words.group_by("word").len().sort("word").collect(engine="streaming").write_csv(out, separator="\t", include_header=False)

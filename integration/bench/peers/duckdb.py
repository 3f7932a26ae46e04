"""duckdb.py TEXT OUT: word count with DuckDB."""
import sys

sys.path.pop(0)  # this file has the name of the package
import duckdb

text, out = sys.argv[1:]
duckdb.execute(f"""
COPY (SELECT word, count(*) AS n FROM (
        SELECT unnest(string_split_regex(line, '[ \\t\\n\\r\\v\\f]+')) AS word
        FROM read_csv('{text}', columns={{'line': 'VARCHAR'}}, delim='\x01', quote='', escape='', header=false,
                      auto_detect=false, ignore_errors=true, strict_mode=false,
                      max_line_size=16777216))
      WHERE word <> '' GROUP BY word ORDER BY word)
TO '{out}' (DELIMITER '\t', HEADER false, QUOTE '')""")

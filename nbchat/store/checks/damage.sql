-- How is every table read to its last column?
--
-- columns  table, statement: it reads every block of the table, so that DuckDB compares all checksums;
--          one that fails names a damaged table
-- order    by table, those of your own too
-- repair   none: restore a backup, or copy what can still be read with COPY FROM DATABASE
select
  table_name as "table",
  'select bit_xor(hash("every")) from "' || replace(table_name, '"', '""') || '" as "every"' as "statement"
from duckdb_tables()
where database_name = current_database() and schema_name = current_schema()
order by table_name

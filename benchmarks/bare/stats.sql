-- Everything that stats() tells, written by hand; DuckDB and SQLite both take it.
select
  (select count(*) from "messages" where "role" = 'user') as "turns",
  count(*) as "requests",
  count(*) filter (where coalesce("error_type", 'Stopped') <> 'Stopped') as "failed_requests",
  (select count(*) from "tool_calls") as "tool_calls",
  sum("input_tokens") as "input_tokens",
  sum("output_tokens") as "output_tokens",
  sum("cached_input_tokens") as "cached_input_tokens",
  sum("cache_write_tokens") as "cache_write_tokens",
  sum("thinking_tokens") as "thinking_tokens",
  sum("cost_usd") as "cost_usd",
  min("cost_usd" is not null
    or not (coalesce("status_code", 0) between 200 and 299 or coalesce("error_type", '') = 'Stopped')
  ) as "cost_complete",
  sum("duration_ms") as "duration_ms"
from "requests"

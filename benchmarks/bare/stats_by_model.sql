-- What stats("model") tells, written by hand; DuckDB and SQLite both take it.
with "asked" as (
  select "model", count(*) as "turns"
  from "messages"
  where "role" = 'user'
  group by "model"
),
"called" as (
  select m."model", count(*) as "tool_calls"
  from "tool_calls" as t
  join "messages" as m on m."chat_id" = t."chat_id" and m."turn" = t."turn" and m."role" = 'user'
  group by m."model"
),
"sent" as (
  select
    "model",
    count(*) as "requests",
    count(*) filter (where coalesce("error_type", 'Stopped') <> 'Stopped') as "failed_requests",
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
  group by "model"
)
select
  "model", "turns", "requests", "failed_requests", coalesce("tool_calls", 0) as "tool_calls",
  "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "thinking_tokens", "cost_usd",
  "cost_complete", "duration_ms"
from "sent"
left join "asked" using ("model")
left join "called" using ("model")
order by "model"

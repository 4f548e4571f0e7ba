-- What stats("tool") tells, written by hand.
select
  "name" as "tool",
  count(distinct ("chat_id", "turn")) as "turns",
  count(*) as "tool_calls",
  sum("duration_ms") as "duration_ms",
  count(*) filter (where "status" in ('error', 'invalid', 'unknown_tool')) as "failed_tool_calls",
  avg("duration_ms") as "mean_ms",
  max("duration_ms") as "max_ms"
from "tool_calls"
group by "name"
order by "name"

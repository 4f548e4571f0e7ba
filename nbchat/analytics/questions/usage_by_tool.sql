-- How often did each tool run, how long, and how often did it fail?
--
-- params   $chat_id: one chat, or NULL for all; $since, $until: UTC, until is excluded; NULL for no bound
-- columns  tool, then as in usage.sql: turns (that called it), tool_calls, duration_ms (of bodies, in all);
--          requests, tokens and cost belong to no tool and are NULL;
--          then failed_tool_calls, mean_ms and max_ms (of bodies, milliseconds)
-- order    by tool; no row for an empty store, nor for chats that record no tool calls
select
  "name" as "tool",
  count(distinct ("chat_id", "turn")) as turns,
  null::bigint as requests,
  null::bigint as "failed_requests",
  count(*) as tool_calls,
  null::bigint as "input_tokens",
  null::bigint as "output_tokens",
  null::bigint as "cached_input_tokens",
  null::bigint as "cache_write_tokens",
  null::bigint as "thinking_tokens",
  null::double as "cost_usd",
  null::boolean as "cost_complete",
  coalesce(sum("duration_ms"), 0) as "duration_ms",
  count(*) filter ("status" in ('error', 'invalid', 'unknown_tool')) as "failed_tool_calls",
  avg("duration_ms") as "mean_ms",
  max("duration_ms") as "max_ms"
from "tool_calls"
where ($chat_id is null or "chat_id" = $chat_id::uuid)
  and ($since is null or "started_at" >= $since::timestamp)
  and ($until is null or "started_at" < $until::timestamp)
group by "name"
order by "name"

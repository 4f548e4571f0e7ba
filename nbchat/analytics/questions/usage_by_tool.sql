-- How often did each tool run, how long, and how often did it fail?
--
-- params   $chat_id: one chat, or NULL for all; $since, $until: UTC, until is excluded; NULL for no bound
-- columns  tool, turns (that called it), tool_calls, ok, failed, duration_ms (of bodies, in all),
--          mean_ms, max_ms
-- order    by tool; no row for an empty store
select
  "name" as "tool",
  count(distinct ("chat_id", "turn")) as "turns",
  count(*) as "tool_calls",
  count(*) filter ("status" = 'ok') as "ok",
  count(*) filter ("status" in ('error', 'invalid', 'unknown_tool')) as "failed",
  coalesce(sum("duration_ms"), 0) as "duration_ms",
  avg("duration_ms") as "mean_ms",
  max("duration_ms") as "max_ms"
from "tool_calls"
where ($chat_id is null or "chat_id" = $chat_id::uuid)
  and ($since is null or "started_at" >= $since::timestamp)
  and ($until is null or "started_at" < $until::timestamp)
group by "name"
order by "name"

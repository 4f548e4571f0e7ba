-- How much was used in all, and what did it cost?
--
-- params   $chat_id: one chat, or NULL for all; $since, $until: UTC, until is excluded; NULL for no bound
-- columns  as in usage.sql, without the key
-- order    one row; none where nothing happened, and where a chat does not record everything: usage.sql
--          has the answer then, in twice the time, for it sums the rows of all tables side by side
with "_asked" as (
  select count(*) as turns
  from "messages"
  where "role" = 'user'
    and ($chat_id is null or "chat_id" = $chat_id::uuid)
    and ($since is null or "created_at" >= $since::timestamp)
    and ($until is null or "created_at" < $until::timestamp)
),
"_called" as (
  select count(*) as tool_calls
  from "tool_calls"
  where ($chat_id is null or "chat_id" = $chat_id::uuid)
    and ($since is null or "started_at" >= $since::timestamp)
    and ($until is null or "started_at" < $until::timestamp)
),
"_sent" as (
  select
    count(*) as requests,
    count(*) filter ("failed") as "failed_requests",
    coalesce(sum("input_tokens"), case when count(*) = 0 then 0 end)::bigint as "input_tokens",
    coalesce(sum("output_tokens"), case when count(*) = 0 then 0 end)::bigint as "output_tokens",
    coalesce(sum("cached_input_tokens"), case when count(*) = 0 then 0 end)::bigint as "cached_input_tokens",
    coalesce(sum("cache_write_tokens"), case when count(*) = 0 then 0 end)::bigint as "cache_write_tokens",
    coalesce(sum("thinking_tokens"), case when count(*) = 0 then 0 end)::bigint as "thinking_tokens",
    coalesce(bool_and("is_priced"), true) as "cost_complete",
    coalesce(sum("cost_usd"), case when "cost_complete" then 0 end)::double as "cost_usd",
    coalesce(sum("duration_ms"), 0) as "duration_ms"
  from "requests_priced"
  where ($chat_id is null or "chat_id" = $chat_id::uuid)
    and ($since is null or "started_at" >= $since::timestamp)
    and ($until is null or "started_at" < $until::timestamp)
),
"_unrecorded" as (
  select count(*) as unrecorded
  from "chats"
  where contains("settings"::varchar, '"persist"') and ($chat_id is null or "id" = $chat_id::uuid)
)
select
  turns, requests, "failed_requests", tool_calls, "input_tokens", "output_tokens",
  "cached_input_tokens", "cache_write_tokens", "thinking_tokens", "cost_usd", "cost_complete", "duration_ms"
from "_asked", "_called", "_sent", "_unrecorded"
where unrecorded = 0 and turns + tool_calls + requests > 0
order by turns

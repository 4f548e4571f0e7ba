-- How much was used where nothing happened?
--
-- params   $chat_id: one chat, or NULL for all
-- columns  as in usage.sql, without the key: zeros, but NULL for what no chat there is records
-- order    one row
with "_kept" as (
  select
    bool_and(coalesce(("settings" ->> '$.persist.requests') = 'false', false)) as "no_requests",
    bool_or(coalesce(("settings" ->> '$.persist.requests') = 'false', false)) as "is_partial",
    bool_and(coalesce(("settings" ->> '$.persist.tool_calls') = 'false', false)) as "no_tool_calls"
  from "chats"
  where $chat_id is null or "id" = $chat_id::uuid
),
"_counted" as (
  select
    case when "no_requests" then null else 0 end::bigint as "sent",
    case when "no_tool_calls" then null else 0 end::bigint as "called",
    "is_partial" is not true as "is_complete"
  from "_kept"
)
select
  0::bigint as turns,
  "sent" as requests,
  "sent" as "failed_requests",
  "called" as tool_calls,
  "sent" as "input_tokens",
  "sent" as "output_tokens",
  "sent" as "cached_input_tokens",
  "sent" as "cache_write_tokens",
  "sent" as "thinking_tokens",
  "sent"::double as "cost_usd",
  "is_complete" as "cost_complete",
  "sent"::double as "duration_ms"
from "_counted"
order by turns

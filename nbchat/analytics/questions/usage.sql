-- How much was used, and what did it cost?
--
-- params   $by: NULL for one row, or chat, model, provider, turn, day, status, agent, metadata
--          $field: the metadata's key when $by is metadata
--          $chat_id: one chat, or NULL for all; $since, $until: UTC, until is excluded; NULL for no bound
-- columns  key (text), turns, requests, failed_requests, tool_calls, input_tokens, output_tokens,
--          cached_input_tokens, cache_write_tokens, thinking_tokens, cost_usd (US dollars of the
--          priced requests), cost_complete (no request has an unknown price), duration_ms (of requests);
--          what no chat of a group records is NULL; where only some do it is their sum, and incomplete
-- facts    count 1 for what they are, 0 for the others, NULL for what their chat does not record
-- order    by key; no row where nothing happened
with "_switched_off" as (
  select
    "id" as "chat_id",
    ("settings" ->> '$.persist.requests') = 'false' as "no_requests",
    ("settings" ->> '$.persist.tool_calls') = 'false' as "no_tool_calls"
  from "chats"
  where contains("settings"::varchar, '"persist"') and ($chat_id is null or "id" = $chat_id::uuid)
),
"_facts" as (
  select
    m."chat_id", "turn", "model", "provider", "created_at" as "at",
    1 as "asked", case when o."no_requests" then null else 0 end as "sent",
    case when o."no_tool_calls" then null else 0 end as "called",
    false as "failed", o."no_requests" is not true as "is_priced",
    null::bigint as "input_tokens", null::bigint as "output_tokens",
    null::bigint as "cached_input_tokens", null::bigint as "cache_write_tokens",
    null::bigint as "thinking_tokens", null::decimal(18, 12) as "cost_usd", null::double as "duration_ms"
  from "messages" as m
  left join "_switched_off" as o on o."chat_id" = m."chat_id"
  where "role" = 'user'
  union all
  select
    "chat_id", "turn", "model", "provider", "started_at",
    0, 1,
    case when "chat_id" in (select "chat_id" from "_switched_off" where "no_tool_calls") then null else 0 end,
    "failed", "is_priced",
    "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
    "thinking_tokens", "cost_usd", "duration_ms"
  from "requests_priced"
  union all
  select
    t."chat_id", t."turn", m."model", m."provider", t."started_at",
    0, case when o."no_requests" then null else 0 end, 1,
    false, o."no_requests" is not true, null, null, null, null, null, null, null
  from "tool_calls" as t
  left join "_switched_off" as o on o."chat_id" = t."chat_id"
  left join "messages" as m
    on $by in ('model', 'provider') and m."chat_id" = t."chat_id" and m."turn" = t."turn" and m."role" = 'user'
),
"_keyed" as (
  select
    f.*,
    case $by
      when 'chat' then f."chat_id"::varchar
      when 'model' then f."model"
      when 'provider' then f."provider"
      when 'turn' then f."turn"::varchar
      when 'status' then t."status"
      when 'agent' then s."agent_class"
      when 'metadata' then coalesce(c."metadata" ->> $field, s."metadata" ->> $field)
    end as "name",
    case when $by = 'day' then f."at"::date end as "day"
  from "_facts" as f
  left join "turns" as t on $by = 'status' and t."chat_id" = f."chat_id" and t."turn" = f."turn"
  left join "chats" as c on $by = 'metadata' and c."id" = f."chat_id"
  left join "agent_sessions" as s on $by in ('agent', 'metadata') and s."chat_id" = f."chat_id"
  where ($chat_id is null or f."chat_id" = $chat_id::uuid)
    and ($since is null or f."at" >= $since::timestamp)
    and ($until is null or f."at" < $until::timestamp)
)
select
  coalesce("name", "day"::varchar) as "key",
  sum("asked")::bigint as turns,
  sum("sent")::bigint as requests,
  case when requests is not null then count(*) filter ("failed") end as "failed_requests",
  sum("called")::bigint as tool_calls,
  case when requests = 0 then 0 else sum("input_tokens") end::bigint as "input_tokens",
  case when requests = 0 then 0 else sum("output_tokens") end::bigint as "output_tokens",
  case when requests = 0 then 0 else sum("cached_input_tokens") end::bigint as "cached_input_tokens",
  case when requests = 0 then 0 else sum("cache_write_tokens") end::bigint as "cache_write_tokens",
  case when requests = 0 then 0 else sum("thinking_tokens") end::bigint as "thinking_tokens",
  case when requests = 0 or bool_and("is_priced") then coalesce(sum("cost_usd"), 0) else sum("cost_usd") end::double as "cost_usd",
  bool_and("is_priced") as "cost_complete",
  case when requests is not null then coalesce(sum("duration_ms"), 0) end as "duration_ms"
from "_keyed"
group by "name", "day"
order by try_cast("key" as bigint), "key"

-- What was said in a chat?
--
-- params   $chat_id
-- columns  one row per message, as the Message has it: ids, place, role, status, text, thinking, tokens,
--          cost_usd (US dollars; NULL if a request has an unknown price), model, parts and raw (JSON text), times
-- order    as in the chat; no row for an empty one
select
  m."id", m."chat_id", m."parent_id", m."seq", m."turn", m."role", m."status", m."content",
  m."thinking_text", m."thinking_signature",
  m."input_tokens", m."output_tokens", m."cached_input_tokens", m."cache_write_tokens", m."thinking_tokens",
  r."cost_usd"::double as "cost_usd",
  m."model", m."provider", m."finish_reason", m."parts", m."raw", m."error", m."created_at", m."finished_at",
  m."content_removed_at"
from "messages" as m
left join (
  select "message_id", sum("cost_usd") as "cost_usd"
  from "requests_priced"
  where "chat_id" = $chat_id
  group by "message_id"
  having bool_and("is_priced")
) as r on r."message_id" = m."id"
where m."chat_id" = $chat_id
order by m."seq"

-- A store full of chats that nobody had: getvariable('turns') of them, two messages each.
--
-- Run by scale.py in a new store, with the variable "turns" set. Everything follows from hash(),
-- so that the same number of turns gives the same rows each time, whatever the number of threads.
--
--   chats      about ten turns each, four or five under way at once; one, called 'long', has 500
--              turns (1,000 messages) spread over the whole year
--   text       400 to 1,500 bytes of made-up words, some frequent, most rare
--   search     'copper lantern' ends one answer in 50,000, 'weather report' one in 10
--   requests   one a turn: five models, two in a hundred fail, one model has no known price
--   tool calls one turn in ten has one

create temp macro "share"("n", "salt") as (hash("n", "salt") % 1000000) / 1e6;
create temp macro "moment"("n") as
  timestamp '2025-01-01' + to_microseconds("n" * (365::bigint * 86400000000 // getvariable('turns')));
-- UUIDv7: milliseconds, version, noise
create temp macro "id_of"("n", "kind") as (
  lpad(to_hex(epoch_ms("moment"("n"))), 12, '0') || '7'
  || substr(lpad(to_hex(hash("n", "kind")), 16, '0'), 1, 3) || '8'
  || substr(lpad(to_hex(hash("kind", "n")), 16, '0'), 1, 15)
)::uuid;

set variable "words" = (
  select list("word" order by "n")
  from (
    select "n", array_to_string(list_transform(range(1 + ("n" % 4)), lambda "x":
      substr('bcdfghklmnprstvz', 1 + (hash("n", "x") % 16)::int, 1)
      || substr('aeiou', 1 + (hash("x", "n") % 5)::int, 1)), '') as "word"
    from range(4096) as "numbers"("n")
  )
);
set variable "phrases" = (
  select list("phrase" order by "n")
  from (
    select "n", array_to_string(list_transform(range(12), lambda "x":
      getvariable('words')[1 + floor(4096 * pow("share"("n", "x"), 3))::int]), ' ') as "phrase"
    from range(16384) as "numbers"("n")
  )
);
create temp macro "text_of"("n", "kind") as
  array_to_string(list_transform(range(6 + (hash("kind", "n") % 17)::bigint), lambda "x":
    getvariable('phrases')[1 + (hash("n", "x", "kind") % 16384)::int]), ' ');

-- One row per turn, in the order of time; "n" counts them from 0.
create temp table "planned" as
with "sizes" as (
  select "chat", least(1 + floor(-9 * ln(1 - "share"("chat", 'size'))), 100)::bigint as "size"
  from range(getvariable('turns')) as "numbers"("chat")
),
"starts" as (
  select "chat", "size", (sum("size") over (order by "chat") - "size")::bigint as "start"
  from "sizes"
),
"spread" as (
  select "chat", unnest(range(least("size", getvariable('turns') - 500 - "start"))) as "turn", "start"
  from "starts"
  where "start" < getvariable('turns') - 500
),
"placed" as (
  select "chat", "turn" + 1 as "turn", "start" + "turn" * 4 + (hash("chat", "turn") % 4)::bigint as "place"
  from "spread"
  union all
  select -1, "turn" + 1, "turn" * getvariable('turns') // 500
  from range(500) as "numbers"("turn")
),
"ordered" as (
  select "chat", "turn", row_number() over (order by "place", "chat", "turn") - 1 as "n"
  from "placed"
)
select
  "n", "chat", "turn",
  min("n") over (partition by "chat") as "first",
  max("n") over (partition by "chat") as "last",
  lag("n") over (partition by "chat" order by "turn") as "before",
  ['openai/gpt-4.1', 'openai/gpt-4.1', 'anthropic/claude-sonnet-4-5', 'gemini/gemini-2.5-pro',
   'ollama/qwen3', 'mistral/mistral-large'][1 + (hash("chat", 'model') % 6)::int] as "model",
  "share"("n", 'fails') < 0.02 as "fails",
  (100 + hash("n", 'in') % 20000)::bigint as "input_tokens",
  (20 + hash("n", 'out') % 1500)::bigint as "output_tokens",
  (300 + hash("n", 'ms') % 20000)::double as "duration_ms"
from "ordered"
order by "n";

insert into "chats" (
  "id", "name", "model", "provider", "settings", "metadata", "head_message_id", "created_at", "updated_at"
)
select
  "id_of"("n", 'chat' || "chat"),
  case when "chat" = -1 then 'long' else 'chat ' || "chat" end,
  "model", split_part("model", '/', 1),
  '{"max_tool_rounds": 10}', '{"user_id": "u' || abs("chat") % 50 || '"}',
  "id_of"("last", 'assistant'), "moment"("first"), "moment"("last")
from "planned"
where "n" = "first"
order by "n";

insert into "messages" (
  "id", "chat_id", "parent_id", "seq", "turn", "role", "status", "content", "parts", "thinking_tokens",
  "input_tokens", "output_tokens", "cached_input_tokens", "model", "provider", "finish_reason", "raw",
  "created_at", "finished_at"
)
select
  "id_of"("n", "role"), "id_of"("first", 'chat' || "chat"),
  case when "role" = 'assistant' then "id_of"("n", 'user') else "id_of"("before", 'assistant') end,
  "turn" * 2 - ("role" = 'user')::int, "turn", "role", 'complete',
  "text", '[{"kind": "text", "text": "' || "text" || '", "round": 1}]', null,
  case when "role" = 'assistant' then "input_tokens" end,
  case when "role" = 'assistant' then "output_tokens" end,
  case when "role" = 'assistant' then "input_tokens" // 2 end,
  "model", split_part("model", '/', 1),
  case when "role" = 'assistant' then 'stop' end, case when "role" = 'assistant' then '[]' end,
  "moment"("n"), "moment"("n") + to_milliseconds(case when "role" = 'assistant' then "duration_ms" else 0 end)
from (
  select
    *,
    "text_of"("n", "role")
    || case when "role" = 'assistant' and "n" % 50000 = 777 then ' copper lantern' else '' end
    || case when "role" = 'assistant' and "n" % 10 = 3 then ' weather report' else '' end as "text"
  from (select *, unnest(['user', 'assistant']) as "role" from "planned")
);

insert into "requests" (
  "id", "chat_id", "message_id", "turn", "round", "attempt", "provider", "model", "answered_model",
  "status_code", "started_at", "duration_ms", "ttft_ms", "input_tokens", "output_tokens",
  "cached_input_tokens", "cache_write_tokens", "thinking_tokens", "usage", "cost_usd", "cost_source",
  "finish_reason", "provider_request_id", "error_type", "error_message"
)
select
  "id_of"("n", 'request'), "id_of"("first", 'chat' || "chat"), "id_of"("n", 'assistant'), "turn", 1, 1,
  split_part("model", '/', 1), "model", split_part("model", '/', 2),
  case when "fails" then 429 else 200 end,
  "moment"("n"), "duration_ms", case when "n" % 2 = 0 then "duration_ms" / 5 end,
  case when not "fails" then "input_tokens" end, case when not "fails" then "output_tokens" end,
  case when not "fails" then "input_tokens" // 2 end, case when not "fails" then "input_tokens" // 10 end,
  case when not "fails" then "output_tokens" // 3 end,
  '{"prompt_tokens": ' || "input_tokens" || ', "completion_tokens": ' || "output_tokens" || '}',
  case
    when not "fails" and "model" not like 'ollama/%'
    then ("input_tokens" * 0.000002 + "output_tokens" * 0.000008)::decimal(18, 12)
  end,
  case when "model" not like 'ollama/%' then 'genai-prices' end,
  case when not "fails" then 'stop' end, 'req_' || to_hex(hash("n", 'request')),
  case when "fails" then 'RateLimited' end, case when "fails" then 'Too many requests.' end
from "planned";

insert into "tool_calls" (
  "id", "chat_id", "message_id", "turn", "round", "seq", "tool_call_id", "name", "arguments", "status",
  "result", "error", "attempt", "started_at", "duration_ms"
)
select
  "id_of"("n", 'tool call'), "id_of"("first", 'chat' || "chat"), "id_of"("n", 'assistant'), "turn", 1, 1,
  'call_' || "n", ['lookup_order', 'run_sql', 'weather', 'search'][1 + (hash("n", 'tool') % 4)::int],
  '{"id": ' || "n" || '}', case when "n" % 300 = 0 then 'error' else 'ok' end,
  case when "n" % 300 <> 0 then "text_of"("n", 'result') end,
  case when "n" % 300 = 0 then 'ValueError: no such order' end,
  1, "moment"("n"), ("duration_ms" / 50)
from "planned"
where "n" % 10 = 0;

-- What was said in a chat?
--
-- params   $chat_id
-- columns  one row per message: its place, who, status, text, tokens, model, times
-- order    as in the chat; no row for an empty one
select
  "id", "parent_id", "seq", "turn", "role", "status", "content", "thinking_text",
  "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "thinking_tokens",
  "model", "provider", "finish_reason", "created_at", "finished_at"
from "messages"
where "chat_id" = $chat_id
order by "seq"

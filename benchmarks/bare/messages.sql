-- A chat's messages, with all that a Message has.
select
  "id", "chat_id", "role", "content", "parent_id", "seq", "turn", "status", "parts", "thinking_text",
  "thinking_signature", "thinking_tokens", "input_tokens", "output_tokens", "cached_input_tokens",
  "cache_write_tokens", "model", "provider", "finish_reason", "raw", "error", "created_at", "finished_at"
from "messages"
where "chat_id" = $chat_id
order by "seq"

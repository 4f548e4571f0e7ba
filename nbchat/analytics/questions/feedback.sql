-- What do people think of a chat's answers?
--
-- params   $chat_id
-- columns  message_id, turn, rating (1 or -1; NULL for a note alone), note, created_at, updated_at
-- order    as in the chat; no row where nothing was rated
select
  f."message_id", m."turn", f."rating", f."note", f."created_at", f."updated_at"
from "feedback" as f
left join "messages" as m on m."id" = f."message_id" and m."chat_id" = f."chat_id"
where f."chat_id" = $chat_id
order by m."seq", f."message_id"

-- Which chats go on after a message that is not theirs?
--
-- columns  id, head_message_id (as it is), last_id: the chat's last message; NULL if it has none
-- repair   head_message_id becomes last_id
select
  c."id",
  c."head_message_id",
  (select arg_max(b."id", b."seq") from "messages" as b where b."chat_id" = c."id") as "last_id"
from "chats" as c
anti join "messages" as m on m."id" = c."head_message_id" and m."chat_id" = c."id"
where c."head_message_id" is not null

-- Which messages have no chat?
--
-- columns  id, chat_id (that no chat has), turn
-- repair   they are deleted
select m."id", m."chat_id", m."turn"
from "messages" as m
anti join "chats" as c on c."id" = m."chat_id"

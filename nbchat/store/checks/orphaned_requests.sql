-- Which requests have no chat?
--
-- A failed turn's answer, and a turn that somebody deletes, go on purpose while what they cost
-- stays in the chat's sums, so a row belongs to its chat whatever became of its messages.
--
-- columns  id, chat_id (that no chat has), turn, message_id
-- repair   they are deleted
select o."id", o."chat_id", o."turn", o."message_id"
from "requests" as o
anti join "chats" as c on c."id" = o."chat_id"

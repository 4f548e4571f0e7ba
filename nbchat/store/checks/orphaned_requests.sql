-- Which requests have no turn?
--
-- A failed turn's assistant message is deleted on purpose while its user message stays, so a row
-- belongs to the messages of its chat and turn, not only to the one that message_id names.
--
-- columns  id, chat_id, turn (that no message of an existing chat has), message_id
-- repair   they are deleted
select o."id", o."chat_id", o."turn", o."message_id"
from "requests" as o
anti join (
  select m."chat_id", m."turn"
  from "messages" as m
  semi join "chats" as c on c."id" = m."chat_id"
) as t on t."chat_id" = o."chat_id" and t."turn" = o."turn"

-- Which chats had their last turn before a time?
--
-- params   $cutoff: UTC
-- columns  id; a chat with a turn that is still running is not among them
select c."id"
from "chats" as c
anti join "messages" as m on m."chat_id" = c."id" and m."status" = 'pending'
where c."updated_at" < $cutoff::timestamp

-- Which turns began before a time?
--
-- params   $cutoff: UTC
-- columns  chat_id, turn; a turn that is still running is not among them
select "chat_id", "turn"
from "messages"
group by "chat_id", "turn"
having min("created_at") < $cutoff::timestamp and not bool_or("status" = 'pending')

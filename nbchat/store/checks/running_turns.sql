-- Which turns is a process running now?
--
-- params   $ended: list of owners whose process has ended
-- columns  id (of the assistant message), chat_id, turn, owner: host, process and its start
-- repair   none: nothing is wrong
select "id", "chat_id", "turn", "owner"
from "messages"
where "status" = 'pending' and not list_contains($ended::varchar[], "owner")

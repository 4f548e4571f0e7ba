-- Which turns are pending although the process that ran them has ended?
--
-- params   $ended: list of owners whose process has ended
-- columns  id (of the assistant message), chat_id, turn, owner: host, process and its start
-- repair   what arrived is kept as interrupted, as when the store opens; nothing arrived: the message goes
select "id", "chat_id", "turn", "owner"
from "messages"
where "status" = 'pending' and ("owner" is null or list_contains($ended::varchar[], "owner"))

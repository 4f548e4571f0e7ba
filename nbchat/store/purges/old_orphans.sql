-- Which tool calls and requests of a turn that has no message began before a time?
--
-- params   $cutoff: UTC
-- columns  id
select o."id"
from (
  select "id", "chat_id", "turn", "started_at" from "tool_calls"
  union all
  select "id", "chat_id", "turn", "started_at" from "requests"
) as o
anti join "messages" as m on m."chat_id" = o."chat_id" and m."turn" = o."turn"
where o."started_at" < $cutoff::timestamp

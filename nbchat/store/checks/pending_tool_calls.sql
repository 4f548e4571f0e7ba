-- Which tool calls are pending although their turn has ended, and nobody was asked to approve them?
--
-- columns  id, chat_id, turn, name, started_at
-- repair   their status becomes stopped
select t."id", t."chat_id", t."turn", t."name", t."started_at"
from "tool_calls" as t
anti join "messages" as m on m."id" = t."message_id" and m."status" = 'pending'
where t."status" = 'pending' and t."approval" is null

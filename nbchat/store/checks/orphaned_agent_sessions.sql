-- Which sessions of agents have no chat?
--
-- columns  id, agent_class, chat_id (that no chat has)
-- repair   they are deleted
select s."id", s."agent_class", s."chat_id"
from "agent_sessions" as s
anti join "chats" as c on c."id" = s."chat_id"

-- Which rows are from the future?
--
-- params   $latest: UTC, the latest time that is believed
-- columns  table, id, time: the latest of the row's times
-- repair   none: order is by seq
select *
from (
  select 'chats' as "table", "id", greatest("created_at", "updated_at", "archived_at") as "time" from "chats"
  union all
  select 'messages', "id", greatest("created_at", "finished_at", "content_removed_at") from "messages"
  union all
  select 'tool_calls', "id", "started_at" from "tool_calls"
  union all
  select 'requests', "id", "started_at" from "requests"
  union all
  select 'agent_sessions', "id", greatest("created_at", "updated_at") from "agent_sessions"
) as "times"
where "time" > $latest::timestamp

-- Which rows ended before they began?
--
-- columns  table, id
-- repair   none: order is by seq
select 'chats' as "table", "id" from "chats" where "updated_at" < "created_at"
union all
select 'messages', "id" from "messages" where "finished_at" < "created_at"
union all
select 'tool_calls', "id" from "tool_calls" where "duration_ms" < 0
union all
select 'requests', "id" from "requests" where "duration_ms" < 0 or "ttft_ms" < 0
union all
select 'agent_sessions', "id" from "agent_sessions" where "updated_at" < "created_at"

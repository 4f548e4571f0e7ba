-- Version 2 to 3: approvals, sizes and repeats of tool calls; instructions and callers of turns.
-- Comments and views come from schema.sql, which is applied right after.

alter table "messages" add column "instructions_version" varchar;
alter table "messages" add column "parent_tool_call_id" uuid;
alter table "tool_calls" add column "approval" varchar;
alter table "tool_calls" add column "decided_at" timestamp;
alter table "tool_calls" add column "full_chars" bigint;
alter table "tool_calls" add column "sent_chars" bigint;
alter table "tool_calls" add column "repeats" bigint;

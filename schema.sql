-- The nbchat store, complete and current (schema version 4).
--
-- Run by nbchat when it opens a store; every statement may run again on a current file.
-- You may run it yourself in any DuckDB 2.x: duckdb chats.duckdb < schema.sql
--
--   chat      a conversation
--   turn      one user message and everything until the model owes nothing
--   round     one model reply inside a turn; tool calls start another
--   request   one physical attempt to get a reply
--   message   a user's or an assistant's entry; a turn has one of the first, at most one of the second
--
-- Ids are UUIDv7 made by nbchat. Times are UTC. Money is US dollars. NULL means unknown.
-- There are no foreign keys and no indexes beside the primary keys: nbchat keeps the integrity,
-- and in DuckDB both would make this file slower or impossible to migrate.

create table if not exists "nbchat_version" (
  "tables" varchar primary key,
  "version" integer not null,
  "schema_hash" varchar not null,
  "applied_at" timestamp not null
);
comment on table "nbchat_version" is 'which schema this file has';
comment on column "nbchat_version"."tables" is 'name of the chats table of the set this row speaks of';
comment on column "nbchat_version"."version" is 'schema version; a newer one than nbchat knows is refused';
comment on column "nbchat_version"."schema_hash" is 'SHA-256 of the schema.sql that was last applied';
comment on column "nbchat_version"."applied_at" is 'when it was applied, UTC';

create table if not exists "chats" (
  "id" uuid primary key,
  "name" varchar,
  "model" varchar not null,
  "provider" varchar not null,
  "instructions" varchar,
  "settings" json not null,
  "metadata" json not null,
  "head_message_id" uuid,
  "created_at" timestamp not null,
  "updated_at" timestamp not null,
  "archived_at" timestamp,
  "pinned_at" timestamp
);
comment on table "chats" is 'one row per conversation';
comment on column "chats"."id" is 'UUIDv7';
comment on column "chats"."name" is 'what the user calls it, not unique';
comment on column "chats"."model" is 'model for the next turn, as provider/name';
comment on column "chats"."provider" is 'the part of model before the first slash';
comment on column "chats"."instructions" is 'system prompt, sent first in every request';
comment on column "chats"."settings" is 'object: temperature, max_tokens, thinking, tool_choice, params, base_url, max_tool_rounds, tool_policy, always_allow, tool_concurrency, max_result_chars, overrides (what was chosen for an agent''s session in place of its class''s own), persist, log_content; never a key';
comment on column "chats"."metadata" is 'object of the user''s own; metadata->>''user_id'' works';
comment on column "chats"."head_message_id" is 'last message of the branch that goes on';
comment on column "chats"."created_at" is 'UTC';
comment on column "chats"."updated_at" is 'when the last turn began or ended, UTC';
comment on column "chats"."archived_at" is 'when it was put away, UTC; NULL for a chat that is listed';
comment on column "chats"."pinned_at" is 'when it was pinned above the others, UTC; NULL for one that is not';

create table if not exists "messages" (
  "id" uuid primary key,
  "chat_id" uuid not null,
  "parent_id" uuid,
  "seq" bigint not null,
  "turn" bigint not null,
  "role" varchar not null check ("role" in ('user', 'assistant')),
  "status" varchar not null,
  "content" varchar not null,
  "parts" json not null,
  "thinking_text" varchar,
  "thinking_signature" varchar,
  "thinking_tokens" bigint,
  "input_tokens" bigint,
  "output_tokens" bigint,
  "cached_input_tokens" bigint,
  "cache_write_tokens" bigint,
  "model" varchar,
  "provider" varchar,
  "finish_reason" varchar,
  "raw" json,
  "error" json,
  "created_at" timestamp not null,
  "finished_at" timestamp,
  "owner" varchar,
  "content_removed_at" timestamp,
  "instructions_version" varchar,
  "parent_tool_call_id" uuid
);
comment on table "messages" is 'one user row and at most one assistant row per turn; rounds are parts of the latter';
comment on column "messages"."id" is 'UUIDv7';
comment on column "messages"."chat_id" is 'chats.id';
comment on column "messages"."parent_id" is 'the message before it in its branch; NULL for the first';
comment on column "messages"."seq" is 'order in the chat, from 1; never order by time';
comment on column "messages"."turn" is 'turn in the chat, from 1';
comment on column "messages"."role" is 'user or assistant';
comment on column "messages"."status" is 'user: complete, failed; assistant: pending, complete, stopped, interrupted';
comment on column "messages"."content" is 'text of all rounds in order, as it was streamed; empty when there is none';
comment on column "messages"."parts" is 'array of objects in order: kind (text, thinking, tool_call, tool_result, image, file), round, and what the kind has; the bytes of an image or file, and of the images in a tool_result, are in attachments by digest';
comment on column "messages"."thinking_text" is 'all thinking that was shown, in order';
comment on column "messages"."thinking_signature" is 'signature of the last thinking block';
comment on column "messages"."thinking_tokens" is 'tokens, part of output_tokens; sum over the turn''s requests';
comment on column "messages"."input_tokens" is 'tokens, all that went in; sum over the turn''s requests';
comment on column "messages"."output_tokens" is 'tokens, all that came out; sum over the turn''s requests';
comment on column "messages"."cached_input_tokens" is 'tokens read from the provider''s cache, part of input_tokens';
comment on column "messages"."cache_write_tokens" is 'tokens written to the provider''s cache, part of input_tokens';
comment on column "messages"."model" is 'model asked for, as provider/name';
comment on column "messages"."provider" is 'provider asked';
comment on column "messages"."finish_reason" is 'of the last round: stop, length, tool_calls, content_filter, refusal, other';
comment on column "messages"."raw" is 'array, per round: the provider''s own blocks, verbatim, for exact replay';
comment on column "messages"."error" is 'object: type, message, and in a failed user row partial, the text that had arrived';
comment on column "messages"."created_at" is 'UTC';
comment on column "messages"."finished_at" is 'when the turn ended, UTC; NULL while pending';
comment on column "messages"."owner" is 'host, process and its start while pending: tells a dead writer from a live one';
comment on column "messages"."content_removed_at" is 'when what was said was removed, or not kept in the first place, UTC; NULL while it is here';
comment on column "messages"."instructions_version" is 'assistant: first 16 hex digits of the SHA-256 of the instructions that were sent; NULL for none';
comment on column "messages"."parent_tool_call_id" is 'user: tool_calls.id of the tool that asked, in another chat; NULL when a person did';

create table if not exists "tool_calls" (
  "id" uuid primary key,
  "chat_id" uuid not null,
  "message_id" uuid not null,
  "turn" bigint not null,
  "round" bigint not null,
  "seq" bigint not null,
  "tool_call_id" varchar not null,
  "name" varchar not null,
  "arguments" json not null,
  "status" varchar not null,
  "result" varchar,
  "error" varchar,
  "thought" varchar,
  "thought_signature" varchar,
  "attempt" bigint not null,
  "started_at" timestamp not null,
  "duration_ms" double,
  "approval" varchar,
  "decided_at" timestamp,
  "full_chars" bigint,
  "sent_chars" bigint,
  "repeats" bigint
);
comment on table "tool_calls" is 'one row per execution of a tool, written before its body runs';
comment on column "tool_calls"."id" is 'UUIDv7';
comment on column "tool_calls"."chat_id" is 'chats.id';
comment on column "tool_calls"."message_id" is 'the assistant message that asked for it; kept when a failed turn drops that message';
comment on column "tool_calls"."turn" is 'turn in the chat, from 1';
comment on column "tool_calls"."round" is 'round in the turn, from 1';
comment on column "tool_calls"."seq" is 'place among the calls of its round, from 1';
comment on column "tool_calls"."tool_call_id" is 'the provider''s id; may repeat or be empty';
comment on column "tool_calls"."name" is 'tool asked for';
comment on column "tool_calls"."arguments" is 'object as the model gave it, {} for none; a string of the raw text if it could not be read';
comment on column "tool_calls"."status" is 'pending, ok, error, invalid, unknown_tool, denied, proposed, stopped';
comment on column "tool_calls"."result" is 'what the model was told on success';
comment on column "tool_calls"."error" is 'what the model was told otherwise';
comment on column "tool_calls"."thought" is 'thinking that led to the call, where the provider tells';
comment on column "tool_calls"."thought_signature" is 'signature that comes with the call, where the provider has one';
comment on column "tool_calls"."attempt" is 'execution of the same call, from 1';
comment on column "tool_calls"."started_at" is 'UTC';
comment on column "tool_calls"."duration_ms" is 'wall clock milliseconds of the body; NULL if it did not run or end';
comment on column "tool_calls"."approval" is 'waiting, approved, denied, always (approved, and so is this tool in this chat from then on); NULL when none was needed';
comment on column "tool_calls"."decided_at" is 'when somebody approved or denied it, UTC';
comment on column "tool_calls"."full_chars" is 'characters of the whole result; NULL if there is none, or it was too large to be written out';
comment on column "tool_calls"."sent_chars" is 'characters of what the model was told of the result, which may be cut';
comment on column "tool_calls"."repeats" is 'how often the same tool had been called with the same arguments in the turn before';

create table if not exists "requests" (
  "id" uuid primary key,
  "chat_id" uuid not null,
  "message_id" uuid not null,
  "turn" bigint not null,
  "round" bigint not null,
  "attempt" bigint not null,
  "provider" varchar not null,
  "model" varchar not null,
  "answered_model" varchar,
  "status_code" integer,
  "started_at" timestamp not null,
  "duration_ms" double not null,
  "ttft_ms" double,
  "input_tokens" bigint,
  "output_tokens" bigint,
  "cached_input_tokens" bigint,
  "cache_write_tokens" bigint,
  "thinking_tokens" bigint,
  "usage" json,
  "cost_usd" decimal(18, 12),
  "cost_source" varchar,
  "price" json,
  "finish_reason" varchar,
  "provider_request_id" varchar,
  "error_type" varchar,
  "error_message" varchar,
  "dropped" json,
  "correction_rounds" bigint not null default 0
);
comment on table "requests" is 'one row per physical attempt, failed ones too: the bill';
comment on column "requests"."id" is 'UUIDv7';
comment on column "requests"."chat_id" is 'chats.id';
comment on column "requests"."message_id" is 'the assistant message it was for; kept when a failed turn drops that message';
comment on column "requests"."turn" is 'turn in the chat, from 1';
comment on column "requests"."round" is 'round in the turn, from 1';
comment on column "requests"."attempt" is 'attempt in the round, from 1';
comment on column "requests"."provider" is 'provider asked';
comment on column "requests"."model" is 'model asked for, as provider/name';
comment on column "requests"."answered_model" is 'model the provider says it used';
comment on column "requests"."status_code" is 'HTTP status; NULL when no answer came';
comment on column "requests"."started_at" is 'UTC';
comment on column "requests"."duration_ms" is 'wall clock milliseconds from sending to the end of the answer';
comment on column "requests"."ttft_ms" is 'milliseconds to the first text, thinking or tool call; NULL for a plain request';
comment on column "requests"."input_tokens" is 'tokens, all that went in';
comment on column "requests"."output_tokens" is 'tokens, all that came out';
comment on column "requests"."cached_input_tokens" is 'tokens read from the provider''s cache, part of input_tokens';
comment on column "requests"."cache_write_tokens" is 'tokens written to the provider''s cache, part of input_tokens';
comment on column "requests"."thinking_tokens" is 'tokens, part of output_tokens';
comment on column "requests"."usage" is 'the provider''s usage object, verbatim';
comment on column "requests"."cost_usd" is 'US dollars, frozen when written; NULL when the price is unknown';
comment on column "requests"."cost_source" is 'provider (it said so) or the price list and its version';
comment on column "requests"."price" is 'object: the price that was used, US dollars per million tokens';
comment on column "requests"."finish_reason" is 'stop, length, tool_calls, content_filter, refusal, other; NULL if it did not finish';
comment on column "requests"."provider_request_id" is 'the provider''s id of this request';
comment on column "requests"."error_type" is 'class of the error, or Stopped; NULL on success';
comment on column "requests"."error_message" is 'the error in words, without secrets';
comment on column "requests"."dropped" is 'object: how many parts of the history this wire could not carry, by kind';
comment on column "requests"."correction_rounds" is 'how often a structured answer was sent back for correction';

create table if not exists "agent_sessions" (
  "id" uuid primary key,
  "agent_class" varchar not null,
  "chat_id" uuid not null,
  "metadata" json not null,
  "created_at" timestamp not null,
  "updated_at" timestamp not null
);
comment on table "agent_sessions" is 'one row per session of an agent; one session per chat';
comment on column "agent_sessions"."id" is 'UUIDv7';
comment on column "agent_sessions"."agent_class" is 'name of the class that made it';
comment on column "agent_sessions"."chat_id" is 'chats.id';
comment on column "agent_sessions"."metadata" is 'object of the user''s own';
comment on column "agent_sessions"."created_at" is 'UTC';
comment on column "agent_sessions"."updated_at" is 'when its metadata last changed, UTC';

create table if not exists "attachments" (
  "digest" varchar primary key,
  "media_type" varchar not null,
  -- pictures and PDFs are compressed as they are, and reading one would unpack its neighbours
  "data" blob not null using compression uncompressed,
  "bytes" bigint not null,
  "width" bigint,
  "height" bigint,
  "created_at" timestamp not null
);
comment on table "attachments" is 'one row per image or file that was sent or that a tool returned, however often; messages.parts name it by digest';
comment on column "attachments"."digest" is 'SHA-256 of data, in hex';
comment on column "attachments"."media_type" is 'such as image/png';
comment on column "attachments"."data" is 'the bytes';
comment on column "attachments"."bytes" is 'length of data in bytes';
comment on column "attachments"."width" is 'pixels; NULL for what is no image';
comment on column "attachments"."height" is 'pixels; NULL for what is no image';
comment on column "attachments"."created_at" is 'when it was first sent or returned, UTC';

create table if not exists "feedback" (
  "message_id" uuid primary key,
  "chat_id" uuid not null,
  "rating" integer check ("rating" in (-1, 1)),
  "note" varchar,
  "created_at" timestamp not null,
  "updated_at" timestamp not null
);
comment on table "feedback" is 'one row per message that a person rated';
comment on column "feedback"."message_id" is 'messages.id of the answer';
comment on column "feedback"."chat_id" is 'chats.id';
comment on column "feedback"."rating" is '1 for a thumb up, -1 for one down; NULL for a note alone';
comment on column "feedback"."note" is 'what the person says of it; NULL for nothing';
comment on column "feedback"."created_at" is 'UTC';
comment on column "feedback"."updated_at" is 'UTC';

-- What a row means -----------------------------------------------------------------------------

create or replace view "turns" as
select
  u."chat_id",
  u."turn",
  u."id" as "user_message_id",
  a."id" as "assistant_message_id",
  case
    when a."id" is not null then a."status"
    when u."status" = 'failed' then 'failed'
    else 'stopped'
  end as "status",
  coalesce(a."model", u."model") as "model",
  coalesce(a."provider", u."provider") as "provider",
  u."content" as "question",
  a."content" as "answer",
  a."input_tokens",
  a."output_tokens",
  a."finish_reason",
  u."created_at" as "started_at",
  a."finished_at",
  epoch_us(a."finished_at" - u."created_at") / 1000 as "duration_ms",
  a."instructions_version",
  u."parent_tool_call_id"
from "messages" as u
left join "messages" as a
  on a."chat_id" = u."chat_id" and a."turn" = u."turn" and a."parent_id" = u."id" and a."role" = 'assistant'
where u."role" = 'user';
comment on view "turns" is 'one row per turn: what was asked, what came, how it ended';
comment on column "turns"."chat_id" is 'chats.id';
comment on column "turns"."turn" is 'turn in the chat, from 1';
comment on column "turns"."user_message_id" is 'messages.id of what was asked';
comment on column "turns"."assistant_message_id" is 'messages.id of the answer; NULL when there is none';
comment on column "turns"."status" is 'pending, complete, stopped, interrupted, or failed';
comment on column "turns"."model" is 'model asked for, as provider/name';
comment on column "turns"."provider" is 'provider asked';
comment on column "turns"."question" is 'what was asked';
comment on column "turns"."answer" is 'text of the answer; NULL when there is none';
comment on column "turns"."input_tokens" is 'tokens, all that went in, from messages';
comment on column "turns"."output_tokens" is 'tokens, all that came out, from messages';
comment on column "turns"."finish_reason" is 'of the last round, from messages';
comment on column "turns"."started_at" is 'when it was asked, UTC';
comment on column "turns"."finished_at" is 'when the answer ended, UTC; NULL when there is none';
comment on column "turns"."duration_ms" is 'wall clock milliseconds of the turn; NULL when there is no answer';
comment on column "turns"."instructions_version" is 'of the instructions that were sent, from messages';
comment on column "turns"."parent_tool_call_id" is 'tool_calls.id of the tool that asked, from messages';

create or replace view "requests_priced" as
select
  "id",
  "chat_id",
  "message_id",
  "turn",
  "round",
  "attempt",
  "provider",
  "model",
  "answered_model",
  "status_code",
  "started_at",
  cast("started_at" as date) as "day",
  "duration_ms",
  "ttft_ms",
  "input_tokens",
  "output_tokens",
  "cached_input_tokens",
  "cache_write_tokens",
  "thinking_tokens",
  "cost_usd",
  coalesce("error_type", 'Stopped') <> 'Stopped' as "failed",
  -- an attempt that was refused or never answered cost nothing; one that was cut off has an unknown cost
  "cost_usd" is not null
    or not (coalesce("status_code", 0) between 200 and 299 or coalesce("error_type", '') = 'Stopped')
    as "is_priced"
from "requests";
comment on view "requests_priced" is 'requests with whether they failed and whether their cost is known';
comment on column "requests_priced"."id" is 'UUIDv7';
comment on column "requests_priced"."chat_id" is 'chats.id';
comment on column "requests_priced"."message_id" is 'the assistant message it was for; kept when a failed turn drops that message';
comment on column "requests_priced"."turn" is 'turn in the chat, from 1';
comment on column "requests_priced"."round" is 'round in the turn, from 1';
comment on column "requests_priced"."attempt" is 'attempt in the round, from 1';
comment on column "requests_priced"."provider" is 'provider asked';
comment on column "requests_priced"."model" is 'model asked for, as provider/name';
comment on column "requests_priced"."answered_model" is 'model the provider says it used';
comment on column "requests_priced"."status_code" is 'HTTP status; NULL when no answer came';
comment on column "requests_priced"."started_at" is 'UTC';
comment on column "requests_priced"."day" is 'day of started_at, UTC';
comment on column "requests_priced"."duration_ms" is 'wall clock milliseconds from sending to the end of the answer';
comment on column "requests_priced"."ttft_ms" is 'milliseconds to the first text, thinking or tool call; NULL for a plain request';
comment on column "requests_priced"."input_tokens" is 'tokens, all that went in';
comment on column "requests_priced"."output_tokens" is 'tokens, all that came out';
comment on column "requests_priced"."cached_input_tokens" is 'tokens read from the provider''s cache, part of input_tokens';
comment on column "requests_priced"."cache_write_tokens" is 'tokens written to the provider''s cache, part of input_tokens';
comment on column "requests_priced"."thinking_tokens" is 'tokens, part of output_tokens';
comment on column "requests_priced"."cost_usd" is 'US dollars, frozen when written; NULL when the price is unknown';
comment on column "requests_priced"."failed" is 'whether it ended in an error; a stopped one did not';
comment on column "requests_priced"."is_priced" is 'whether its cost is known: by a price, or because nothing was answered';

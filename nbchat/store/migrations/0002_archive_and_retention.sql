-- Version 1 to 2: chats can be archived, and what was said can be removed while its metrics stay.
-- Comments and views come from schema.sql, which is applied right after.

alter table "chats" add column "archived_at" timestamp;
alter table "messages" add column "content_removed_at" timestamp;

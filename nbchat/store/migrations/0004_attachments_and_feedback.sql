-- Version 3 to 4: pinned chats. The new tables, of images and files that were sent or that tools
-- returned and of ratings, come from schema.sql, which is applied right after, as do comments and
-- views.

alter table "chats" add column "pinned_at" timestamp;

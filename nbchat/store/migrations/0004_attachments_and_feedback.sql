-- Version 3 to 4: images and files that were sent, ratings of answers, pinned chats.
-- Comments and views come from schema.sql, which is applied right after.

alter table "chats" add column "pinned_at" timestamp;
create table if not exists "attachments" (
  "digest" varchar primary key,
  "media_type" varchar not null,
  "data" blob not null,
  "bytes" bigint not null,
  "width" bigint,
  "height" bigint,
  "created_at" timestamp not null
);
create table if not exists "feedback" (
  "message_id" uuid primary key,
  "chat_id" uuid not null,
  "rating" integer check ("rating" in (-1, 1)),
  "note" varchar,
  "created_at" timestamp not null,
  "updated_at" timestamp not null
);

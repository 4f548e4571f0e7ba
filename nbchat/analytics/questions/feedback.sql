-- What does a person think of a chat's answers?
--
-- params   $chat_id
-- columns  message_id, turn, rating (1 or -1; NULL for a note alone), note, created_at, updated_at
-- order    of the answers; no row where nothing was rated
select
  f."message_id"::varchar as message_id,
  m."turn" as turn,
  f."rating"::bigint as rating,
  f."note" as note,
  f."created_at" as created_at,
  f."updated_at" as updated_at
from "feedback" as f
join "messages" as m on m."id" = f."message_id"
where f."chat_id" = $chat_id
order by m."seq"

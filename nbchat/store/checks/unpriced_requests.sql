-- Which requests have an unknown cost?
--
-- columns  id, chat_id, model, answered_model, started_at
-- repair   none: money is frozen when it is written
select "id", "chat_id", "model", "answered_model", "started_at"
from "requests_priced"
where not "is_priced"

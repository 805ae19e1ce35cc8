-- Every acceptance asks whether another row has the request already.
CREATE INDEX jobs_request_id ON jobs (request_id) WHERE request_id IS NOT NULL;

"""Many visits → shards: what is planned, who works, how it resumes and ends."""

-- Tokens of people. `person` is a name for people. The issuer of the identity provider and its id of the person say who it is for certain.
ALTER TABLE team_tokens ADD COLUMN person TEXT CHECK (person IS NULL OR length(person) BETWEEN 1 AND 200);
ALTER TABLE team_tokens ADD COLUMN issuer TEXT CHECK (issuer IS NULL OR (person IS NOT NULL AND octet_length(issuer) BETWEEN 1 AND 1024));
ALTER TABLE team_tokens ADD COLUMN subject TEXT
    CHECK ((subject IS NULL) = (issuer IS NULL) AND (subject IS NULL OR octet_length(subject) BETWEEN 1 AND 255));
-- 1: it came from signing in, and not from another token of the person.
ALTER TABLE team_tokens ADD COLUMN signed_in INTEGER NOT NULL DEFAULT 0
    CHECK (signed_in = 0 OR (signed_in = 1 AND subject IS NOT NULL AND expires_at IS NOT NULL));

CREATE INDEX team_tokens_by_person ON team_tokens (team_id, issuer, subject) WHERE signed_in = 1;

-- Bytes of text: extracted - removed by the recorded edits + put in by them = in the corpus. The edits are read from
-- their tables for the documents that are kept, so that an edit that was not applied, or to another text, is found.
-- Conserves: bytes.
-- Views: verdicts, tables of edits, stats. Parameters: $tables and $columns, all edits; $replacing, those columns whose
-- edits put something in.
WITH edits AS (
    SELECT
        list_sum(list_value(*COLUMNS(lambda name: list_contains($columns, name)))) AS removed
    FROM (
        SELECT list_sum(list_transform(
            COLUMNS(lambda name: list_contains($columns, name)), lambda edit: (edit."end" - edit.start)::BIGINT
        ))
        FROM query_table($tables, true)
        WHERE doc IN (SELECT doc FROM verdicts WHERE verdict = 'kept')
    )
),
replacements AS (
    SELECT
        list_sum(list_value(*COLUMNS(lambda name: list_contains($replacing, name)))) AS inserted
    FROM (
        SELECT list_sum(list_transform(
            COLUMNS(lambda name: list_contains($replacing, name)), lambda edit: strlen(edit.replacement)
        ))
        FROM query_table($tables, true)
        WHERE doc IN (SELECT doc FROM verdicts WHERE verdict = 'kept')
    )
),
counted AS (
    SELECT
        coalesce(sum(value) FILTER (WHERE name = 'extracted_bytes'), 0)::BIGINT AS extracted,
        coalesce(sum(value) FILTER (WHERE name = 'text_bytes'), 0)::BIGINT AS written,
        (SELECT coalesce(sum(removed), 0) FROM edits)::BIGINT AS removed,
        (SELECT coalesce(sum(inserted), 0) FROM replacements)::BIGINT AS inserted
    FROM stats
)
SELECT
    extracted - removed + inserted = written AS passed,
    extracted AS extracted_bytes,
    removed AS removed_bytes,
    inserted AS inserted_bytes,
    written AS corpus_bytes
FROM counted

-- One row per document: the first gate, in recipe order, that it fails, and every gate with what it measured.
-- Views: documents, url_matches, languages, signals (one part each, row-aligned by doc);
--        gates (position, station, name, signal, operator, limit, limit_of): the recipe;
--        limits (language, name, limit): the limits that depend on the language.
-- Parameters: $honoured (opt-out signals), $languages (kept; all if empty), $excluded (not kept), $signals (columns that gates read).
WITH annotations AS (
    SELECT
        documents.doc,
        len(list_intersect(coalesce(documents.consent, []), $honoured)) AS opted_out,
        (
            languages.language IS NOT NULL
            AND (len($languages) = 0 OR list_contains($languages, languages.language))
            AND NOT list_contains($excluded, languages.language)
        )::TINYINT AS language_kept,
        -- A text with no recognisable language has the lowest score there is.
        coalesce(languages.language_score, 0) AS language_score,
        url_matches.* EXCLUDE (doc),
        signals.* EXCLUDE (doc, line_edits)
    FROM documents
    JOIN url_matches USING (doc)
    JOIN languages USING (doc)
    JOIN signals USING (doc)
    WHERE documents.verdict IS NULL
),
measured AS (
    SELECT doc, COLUMNS(lambda name: list_contains($signals, name))::DOUBLE FROM annotations
),
values_by_signal AS (
    UNPIVOT measured ON COLUMNS(* EXCLUDE doc) INTO NAME signal VALUE value
),
limited AS (
    -- A limit that depends on the language is that of the document's, or the usual one.
    SELECT
        doc,
        position,
        station,
        gates.name AS gate,
        value,
        operator,
        coalesce(gates."limit", own."limit", usual."limit") AS "limit"
    FROM values_by_signal
    JOIN gates USING (signal)
    LEFT JOIN languages USING (doc)
    LEFT JOIN limits AS own ON own.name = gates.limit_of AND own.language = languages.language
    LEFT JOIN limits AS usual ON usual.name = gates.limit_of AND usual.language = ''
),
judged AS (
    SELECT
        *,
        CASE operator
            WHEN '<' THEN value < "limit"
            WHEN '<=' THEN value <= "limit"
            WHEN '>' THEN value > "limit"
            WHEN '>=' THEN value >= "limit"
        END AS failed
    FROM limited
),
decided AS (
    SELECT
        doc,
        min(position) FILTER (WHERE failed) AS position,
        arg_min(station, position) FILTER (WHERE failed) AS station,
        arg_min(gate, position) FILTER (WHERE failed) AS gate,
        arg_min(value, position) FILTER (WHERE failed) AS value,
        arg_min("limit", position) FILTER (WHERE failed) AS "limit",
        list(gate ORDER BY position) FILTER (WHERE failed) AS failed_gates,
        list({gate: gate, value: value, "limit": "limit", failed: failed} ORDER BY position) AS gate_values
    FROM judged
    GROUP BY doc
)
SELECT
    documents.doc,
    coalesce(documents.verdict, decided.gate) AS verdict,
    CASE WHEN documents.verdict IS NOT NULL THEN 'acquisition' ELSE decided.station END AS station,
    CASE WHEN documents.verdict IS NOT NULL THEN -1 ELSE decided.position END AS position,
    decided.value,
    decided."limit",
    CASE
        WHEN documents.verdict IS NOT NULL THEN documents.detail
        WHEN decided.station = 'consent' THEN array_to_string(documents.consent, ', ')
        WHEN decided.station = 'url_filter' THEN url_matches.url_match
        WHEN decided.station = 'language' THEN languages.language
    END AS detail,
    coalesce(decided.failed_gates, []) AS failed_gates,
    coalesce(decided.gate_values, []) AS gate_values
FROM documents
LEFT JOIN url_matches USING (doc)
LEFT JOIN languages USING (doc)
LEFT JOIN decided USING (doc)
ORDER BY documents.doc

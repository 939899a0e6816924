-- One row per document: the first gate, in recipe order, that it fails, and every gate with what it measured.
-- What a gate does is arithmetic on the columns of one row, so gates are a list beside them, and not rows to group again.
-- Views: documents, url_matches, languages, signals (one part each, row-aligned by doc);
--        gates (position, station, name, signal, operator, limit, limit_of): the recipe;
--        limits (language, name, limit): the limits that depend on the language.
-- Parameters: $honoured (opt-out signals), $languages (kept; all if empty), $excluded (not kept), $signals (columns that gates read).
WITH annotations AS (
    SELECT
        documents.doc,
        documents.verdict,
        documents.detail,
        documents.consent,
        url_matches.url_match,
        languages.language,
        len(list_intersect(coalesce(documents.consent, []), $honoured)) AS opted_out,
        (
            languages.language IS NOT NULL
            AND (len($languages) = 0 OR list_contains($languages, languages.language))
            AND NOT list_contains($excluded, languages.language)
        )::TINYINT AS language_kept,
        -- A text with no recognisable language has the lowest score there is.
        coalesce(languages.language_score, 0) AS language_score,
        url_matches.* EXCLUDE (doc, url_match),
        signals.* EXCLUDE (doc, line_edits)
    FROM documents
    LEFT JOIN url_matches USING (doc)
    LEFT JOIN languages USING (doc)
    LEFT JOIN signals USING (doc)
),
measured AS (
    SELECT *, list_value(*COLUMNS($signals))::DOUBLE[] AS measured FROM annotations
),
named AS (
    -- The values have the order of the table, whatever that of $signals is.
    SELECT any_value(struct_keys(one)) AS names FROM (SELECT COLUMNS($signals) FROM annotations LIMIT 1) AS one
),
rules AS (
    -- A limit that depends on the language is that of the document's, or the usual one.
    SELECT
        found.language,
        list(
            {
                gate: gates.name,
                place: list_position(named.names, gates.signal),
                operator: gates.operator,
                "limit": coalesce(gates."limit", own."limit", usual."limit")
            }
            ORDER BY gates.position
        ) AS rules
    FROM (SELECT DISTINCT coalesce(language, '') AS language FROM languages) AS found
    CROSS JOIN gates
    CROSS JOIN named
    LEFT JOIN limits AS own ON own.name = gates.limit_of AND own.language = found.language
    LEFT JOIN limits AS usual ON usual.name = gates.limit_of AND usual.language = ''
    GROUP BY found.language
),
judged AS (
    SELECT
        measured.*,
        CASE WHEN verdict IS NULL THEN list_transform(
            rules.rules,
            lambda rule: {
                gate: rule.gate,
                value: measured[rule.place],
                "limit": rule."limit",
                failed: CASE rule.operator
                    WHEN '<' THEN measured[rule.place] < rule."limit"
                    WHEN '<=' THEN measured[rule.place] <= rule."limit"
                    WHEN '>' THEN measured[rule.place] > rule."limit"
                    WHEN '>=' THEN measured[rule.place] >= rule."limit"
                END
            }
        ) END AS gates
    FROM measured
    LEFT JOIN rules ON rules.language = coalesce(measured.language, '')
),
decided AS (
    SELECT
        * EXCLUDE gates,
        coalesce(list_filter(gates, lambda gate: gate.value IS NOT NULL), []) AS gate_values,
        coalesce(list_filter(gates, lambda gate: gate.failed), []) AS failed
    FROM judged
)
SELECT
    doc,
    coalesce(verdict, failed[1].gate) AS verdict,
    CASE WHEN verdict IS NOT NULL THEN 'acquisition' ELSE gates.station END AS station,
    CASE WHEN verdict IS NOT NULL THEN -1 ELSE gates.position END AS position,
    failed[1].value AS value,
    failed[1]."limit" AS "limit",
    CASE
        WHEN verdict IS NOT NULL THEN detail
        WHEN gates.station = 'consent' THEN array_to_string(consent, ', ')
        WHEN gates.station = 'url_filter' THEN url_match
        WHEN gates.station = 'language' THEN language
    END AS detail,
    list_transform(failed, lambda gate: gate.gate) AS failed_gates,
    gate_values
FROM decided
LEFT JOIN gates ON gates.name = failed[1].gate
ORDER BY doc

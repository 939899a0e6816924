-- The beginnings of some texts.
-- View: texts. Parameters: $docs; $characters.
SELECT doc, title[:$characters] AS title, text[:$characters] AS text, length(text) AS characters
FROM texts
WHERE doc IN (SELECT unnest($docs))

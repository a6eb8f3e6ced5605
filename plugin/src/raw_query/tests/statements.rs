//! Statements with their expected classifications; other tests build their texts
//! from them.

/// Statements, each with its classification.
pub(super) const STATEMENTS: &[(&str, &str)] = &[
    // Reads.
    ("RETURN 1", "read"),
    ("", "read"),
    ("-- nothing", "read"),
    ("INFO FOR DB", "read"),
    ("SHOW CHANGES FOR TABLE events SINCE 1", "read"),
    ("SELECT * FROM events, entities", "read"),
    ("SELECT * FROM $table", "read"),
    ("SELECT * FROM (SELECT * FROM events)", "read"),
    (
        "SELECT *, (SELECT * FROM events) AS e FROM entities",
        "read",
    ),
    ("SELECT ->knows->person FROM entities", "read"),
    ("SELECT * FROM events FETCH user", "read"),
    ("SELECT count() FROM events GROUP ALL", "read"),
    ("SELECT * FROM events SPLIT tags", "read"),
    ("SELECT * FROM ONLY events LIMIT 1", "read"),
    ("SELECT * FROM events:a", "read"),
    ("SELECT * FROM events EXPLAIN", "read"),
    ("SELECT * FROM events ORDER BY RAND()", "read"),
    ("SELECT * FROM events ORDER BY subject COLLATE", "read"),
    ("SELECT * FROM events ORDER BY subject NUMERIC", "read"),
    ("SELECT * FROM events WHERE content @@ 'word'", "read"),
    ("SELECT * FROM events WHERE embedding <|3,40|> $q", "read"),
    (
        "SELECT * FROM events VERSION d'2026-01-01T00:00:00Z'",
        "read",
    ),
    ("SELECT * FROM events WITH INDEX i", "read"),
    ("SELECT *, rand() AS r FROM events", "read"),
    ("SELECT *, 'x' AS __db_sync FROM events", "read"),
    (
        "SELECT string::uppercase(name) AS name_path FROM code_symbols",
        "read",
    ),
    ("SELECT * FROM events LIMIT 1 + 1", "read"),
    ("SELECT * FROM schema_version", "read"),
    ("SELECT * FROM db_sync_log", "read"),
    ("SELECT * FROM db_sync_position", "read"),
    ("SELECT * FROM events FOR UPDATE", "read"),
    ("SELECT * FROM events; SELECT * FROM entities", "read"),
    ("BEGIN; SELECT * FROM events; COMMIT", "read"),
    ("LET $a = (SELECT * FROM events); RETURN $a", "read"),
    ("IF $x { RETURN 1 } ELSE { RETURN 2 }", "read"),
    ("FOR $x IN 1..3 { LET $y = $x; }", "read"),
    ("RETURN array::map([1], |$x| $x + 1)", "read"),
    ("RETURN 'CREATE events; DELETE entities'", "read"),
    ("/* UPDATE events SET a = 1 */ RETURN 1", "read"),
    ("USE DB other", "read"),
    ("LIVE SELECT * FROM events", "read"),
    ("KILL u'0189d6e3-8eac-703a-9a48-d9faa78b44b9'", "read"),
    ("SLEEP 1ms", "read"),
    ("DEFINE TABLE notes SCHEMALESS", "read"),
    ("DEFINE FIELD a ON events VALUE time::now()", "read"),
    ("DEFINE FIELD a ON events TYPE int", "read"),
    ("DEFINE INDEX i ON events FIELDS subject", "read"),
    ("DEFINE FUNCTION fn::f() { CREATE events }", "read"),
    ("DEFINE EVENT e ON events THEN (CREATE entities)", "read"),
    ("DEFINE PARAM $p VALUE 1", "read"),
    ("REBUILD INDEX i ON events", "read"),
    ("ALTER TABLE events SCHEMALESS", "read"),
    // Selects that can be merged.
    ("SELECT * FROM events", "select events"),
    ("SELECT * FROM knows", "select knows"),
    (
        "select name, id from entities where type = $t",
        "select entities",
    ),
    (
        "SELECT VALUE name FROM entities ORDER BY name LIMIT 3",
        "select entities",
    ),
    (
        "SELECT * OMIT embedding FROM events WHERE user_id = $u START 5 LIMIT 10",
        "select events",
    ),
    (
        "SELECT *, vector::similarity::cosine(embedding, $q) AS similarity FROM code_symbols \
         WHERE project_id = $p AND symbol_type IN $t AND embedding != NONE \
         ORDER BY similarity DESC LIMIT $n",
        "select code_symbols",
    ),
    (
        "SELECT name.uppercase() AS n FROM entities ORDER BY n",
        "select entities",
    ),
    (
        "SELECT * FROM events WHERE time::now() - created_at < 7d",
        "select events",
    ),
    (
        "SELECT * FROM events ORDER BY metadata.a, created_at DESC",
        "select events",
    ),
    // Writes whose answer tells what was written.
    ("CREATE events SET subject = 'x'", "write events rows"),
    ("CREATE events:a SET subject = 'x'", "write events rows"),
    ("CREATE |events:3|", "write events rows"),
    (
        "CREATE events CONTENT $row RETURN AFTER",
        "write events rows",
    ),
    ("CREATE ONLY events", "write events rows"),
    ("CREATE kv_memories CONTENT $row", "write kv_memories rows"),
    (
        "CREATE type::table('events') SET subject = 1",
        "write events rows",
    ),
    (
        "CREATE type::table($table) SET subject = 1",
        "write events rows",
    ),
    (
        "UPDATE type::record('events', $key) SET subject = 1",
        "write events rows",
    ),
    (
        "UPDATE events SET subject = 'x' WHERE user_id = $u",
        "write events rows",
    ),
    ("UPDATE $id SET subject = 'x'", "write events rows"),
    // A record by its id, or by the text of it.
    ("UPDATE type::record($text) SET a = 1", "write events rows"),
    ("UPDATE type::record($id) SET a = 1", "write events rows"),
    (
        "UPDATE type::record('events:⟨a b⟩') SET a = 1",
        "write events rows",
    ),
    (
        "UPDATE type::record(events:[1]) SET a = 1",
        "write events rows",
    ),
    ("CREATE type::record($text)", "write events rows"),
    ("UPDATE $ids MERGE { subject: 'x' }", "write events rows"),
    ("UPDATE events UNSET subject", "write events rows"),
    (
        "UPDATE events PATCH [{ op: 'add', path: '/a', value: 1 }]",
        "write events rows",
    ),
    (
        "UPDATE kv_memories SET value = 1 WHERE key = 'k'",
        "write kv_memories rows",
    ),
    (
        "UPDATE kv_memories SET value.a.b += 1",
        "write kv_memories rows",
    ),
    ("UPDATE kv_memories MERGE $rows[0]", "write kv_memories"),
    (
        "UPSERT kv_memories SET user_id = $u, key = 'k', value = $v WHERE user_id = $u AND key = 'k'",
        "write kv_memories rows",
    ),
    (
        "UPSERT kv_memories:a SET value = 1",
        "write kv_memories rows",
    ),
    (
        "UPSERT type::record('kv_memories', $key) SET value = 1",
        "write kv_memories rows",
    ),
    (
        "CREATE type::table('kv_memories') SET user_id = 'u', key = 'k'",
        "write kv_memories rows",
    ),
    ("INSERT INTO events { subject: 'x' }", "write events rows"),
    ("INSERT INTO events $rows", "write events rows"),
    ("INSERT INTO code_symbols $rows", "write code_symbols rows"),
    (
        "INSERT IGNORE INTO kv_memories [{ key: 'a' }, { key: 'b' }]",
        "write kv_memories rows",
    ),
    (
        "INSERT INTO kv_memories (user_id, key) VALUES ('u', 'k') ON DUPLICATE KEY UPDATE value = 2",
        "write kv_memories rows",
    ),
    ("INSERT INTO $table { a: 1 }", "write events rows"),
    (
        "INSERT RELATION INTO knows { in: a:1, out: a:2 }",
        "write knows rows",
    ),
    ("RELATE a:1->knows->a:2", "write knows rows"),
    (
        "CREATE type::table('events') SET subject = (SELECT VALUE name FROM entities)",
        "write events rows",
    ),
    // The same where a key may change its row.
    (
        "UPDATE kv_memories SET key = 'other' WHERE key = 'k'",
        "write kv_memories",
    ),
    (
        "UPDATE kv_memories SET key += 'other' WHERE key = 'other'",
        "write kv_memories",
    ),
    (
        "UPDATE kv_memories SET key = 'k' WHERE key = 'k' OR value = 1",
        "write kv_memories",
    ),
    ("UPDATE kv_memories CONTENT $row", "write kv_memories"),
    ("UPDATE kv_memories REPLACE $row", "write kv_memories"),
    ("UPDATE kv_memories MERGE $unbound", "write kv_memories"),
    ("UPDATE kv_memories MERGE $row", "write kv_memories"),
    ("UPDATE kv_memories UNSET key", "write kv_memories"),
    (
        "UPDATE knowledge_base SET source_file = 'a'",
        "write knowledge_base",
    ),
    (
        "CREATE kv_memories:a SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    (
        "CREATE type::record('kv_memories', $key) SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    (
        "CREATE type::record('kv_memories:a') SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    (
        "UPSERT type::record('kv_memories', $key) SET user_id = 'u', key = 'k' \
         WHERE user_id = 'u' AND key = 'k'",
        "write kv_memories",
    ),
    (
        "UPSERT kv_memories:a SET user_id = 'u', key = 'k' WHERE user_id = 'u' AND key = 'k'",
        "write kv_memories",
    ),
    (
        "CREATE kv_memories CONTENT $row_with_id",
        "write kv_memories",
    ),
    ("INSERT INTO kv_memories $row_with_id", "write kv_memories"),
    (
        "INSERT INTO kv_memories (id, key) VALUES (1, 'k')",
        "write kv_memories",
    ),
    (
        "UPSERT kv_memories:a SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    // Writes whose answer says too little.
    ("CREATE events RETURN NONE", "write events"),
    ("CREATE events RETURN id", "write events"),
    ("UPDATE events SET a = 1 RETURN BEFORE", "write events"),
    ("UPDATE events SET a = 1 RETURN DIFF", "write events"),
    ("CREATE events, entities", "write entities events"),
    (
        "UPDATE events SET a = (CREATE entities)",
        "write entities events",
    ),
    // Another statement inside it, whose rows are not in its answer.
    (
        "CREATE events SET parent = (CREATE ONLY events).id",
        "write events",
    ),
    (
        "UPDATE events:a SET n = (UPDATE events:b SET n = 1)",
        "write events",
    ),
    (
        "UPSERT events:a SET n = (UPSERT events:b SET n = 1)",
        "write events",
    ),
    (
        "UPDATE events SET n = 1 WHERE (UPDATE events:b SET n = 1) != NONE",
        "write events",
    ),
    (
        "INSERT INTO events [{ ref: (CREATE ONLY events).id }]",
        "write events",
    ),
    (
        "RELATE a:1->knows->a:2 SET n = (INSERT INTO knows { n: 1 })",
        "write knows",
    ),
    ("UPDATE events:a SET n = (DELETE events:b)", "write events"),
    ("CREATE events; CREATE entities", "write entities events"),
    ("BEGIN; CREATE events; COMMIT;", "write events"),
    (
        "{ CREATE events; UPDATE entities SET a = 1 }",
        "write entities events",
    ),
    ("RETURN (CREATE events)", "write events"),
    ("RETURN [1, { a: (CREATE events) }]", "write events"),
    ("RETURN 1 + (CREATE events).n", "write events"),
    ("SELECT * FROM (CREATE events)", "write events"),
    (
        "SELECT (UPDATE entities SET a = 1) FROM events",
        "write entities",
    ),
    (
        "SELECT * FROM events WHERE (CREATE entities) != NONE",
        "write entities",
    ),
    ("LET $a = (CREATE events); RETURN 1", "write events"),
    (
        "IF $x { CREATE events } ELSE IF $y { UPDATE entities SET a = 1 }",
        "write entities events",
    ),
    ("IF (CREATE events) THEN 1 END", "write events"),
    (
        "FOR $n IN 1..3 { CREATE events SET n = $n }",
        "write events",
    ),
    (
        "RETURN array::map([1], |$x| { CREATE events })",
        "write events",
    ),
    ("THROW (CREATE events)", "write events"),
    ("EXPLAIN ANALYZE CREATE events", "write events"),
    ("DEFINE PARAM $p VALUE (CREATE events)", "write events"),
    (
        "DEFINE TABLE recent AS SELECT * FROM events",
        "write recent",
    ),
    ("USE DB other; CREATE events", "write events"),
    // Writes to who knows what.
    ("CREATE $unbound", "write ?"),
    ("CREATE $text", "write ?"),
    ("UPDATE $this SET a = 1", "write ?"),
    ("FOR $id IN $ids { UPDATE $id SET a = 1 }", "write ?"),
    ("LET $id = entities:a; UPDATE $id SET a = 1", "write ?"),
    ("UPDATE type::record($table) SET a = 1", "write ?"),
    ("UPDATE type::record($unbound) SET a = 1", "write ?"),
    ("UPDATE type::record($ids) SET a = 1", "write ?"),
    ("UPDATE type::record($this) SET a = 1", "write ?"),
    ("UPDATE type::record('events') SET a = 1", "write ?"),
    ("UPDATE type::record(events.id) SET a = 1", "write ?"),
    (
        "LET $text = 'entities:a'; UPDATE type::record($text) SET a = 1",
        "write ?",
    ),
    ("UPDATE (SELECT * FROM events) SET a = 1", "write ?"),
    ("UPDATE events:a->knows->entities SET a = 1", "write ?"),
    ("INSERT { id: events:a }", "write ?"),
    ("INSERT INTO $unbound $rows", "write ?"),
    ("RELATE a:1->$unbound->a:2", "write ?"),
    ("fn::anything(1)", "write ?"),
    ("SELECT fn::anything(id) FROM events", "write ?"),
    ("RETURN eval::surql('CREATE events')", "write ?"),
    ("RETURN $closure(1)", "write ?"),
    ("RETURN function() { return 1; }", "write ?"),
    ("LET $f = |$x| { CREATE events }; $f(1)", "write ?"),
    ("DEFINE TABLE notes COMMENT (CREATE events)", "write ?"),
    ("this is no SurrealQL", "write ?"),
    ("CREATE", "write ?"),
    ("SELECT * FROM", "write ?"),
    // Deletes leave the secondaries alone.
    ("DELETE events", "write delete all"),
    ("DELETE FROM events", "write delete all"),
    ("DELETE events WHERE user_id = $u", "write delete some"),
    ("DELETE events:a", "write delete some"),
    ("DELETE $id", "write delete some"),
    ("DELETE type::record($text)", "write delete some"),
    ("DELETE ONLY events:a RETURN BEFORE", "write delete some"),
    (
        "DELETE kv_memories WHERE key IN ['a', \"b'c\", `odd name`]",
        "write delete some",
    ),
    ("DELETE events, entities", "write"),
    ("DELETE events; DELETE entities", "write"),
    (
        "DELETE events WHERE (CREATE entities) != NONE",
        "write entities",
    ),
    ("DELETE events:a->knows", "write"),
    ("REMOVE TABLE events", "write"),
    ("RETURN (DELETE events)", "write"),
];

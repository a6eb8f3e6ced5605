#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::{SurrealStorage, Target, Timeouts};
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(10 << 20)
        .enable_all()
        .build()
        .unwrap()
});

fn database() -> SurrealStorage {
    let target = Target {
        url: "mem://".to_owned(),
        credentials: None,
        ca_file: None,
        namespace: "test".to_owned(),
        database: "test".to_owned(),
    };
    let storage = SurrealStorage::new(target, Timeouts::default(), RUNTIME.handle().clone());
    storage.connect(&CallContext::new()).unwrap();
    storage.initialize_schema(&CallContext::new()).unwrap();
    storage
}

fn run(storage: &SurrealStorage, sql: &str, parameters: &Object) -> Value {
    storage.query(&CallContext::new(), sql, parameters).unwrap()
}

fn pages(storage: &SurrealStorage, scan: &TableScan) -> Vec<Vec<ScannedRow>> {
    let mut pages: Vec<Vec<ScannedRow>> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.last()).map(|row| &row.id);
        let page = scan.page(storage, &CallContext::new(), after).unwrap();
        let is_last = scan.is_last(&page);
        pages.push(page);
        if is_last {
            return pages;
        }
    }
}

#[test]
fn a_scan_reads_every_row_once_whatever_kind_of_id_it_has() {
    let storage = database();
    let create = "\
        FOR $n IN -3..20 { CREATE type::record('things', $n) SET n = 1 };
        FOR $n IN 0..20 { CREATE type::record('things', <string> $n) SET n = 1 };
        FOR $n IN 0..5 { CREATE type::record('things', rand::uuid()) SET n = 1 };
        FOR $n IN 0..5 { CREATE type::record('things', [$n, 'x']) SET n = 1 };
        FOR $n IN 0..5 { CREATE type::record('things', { a: $n }) SET n = 1 };
        CREATE things SET n = 1;";
    run(&storage, create, &Object::new());
    let scan = TableScan::new("things", 7);
    assert_eq!(scan.count(&storage, &CallContext::new()).unwrap(), 59);
    let pages = pages(&storage, &scan);
    assert!(pages.iter().all(|page| page.len() <= 7));
    let ids: Vec<Value> = pages
        .concat()
        .into_iter()
        .map(|row| row.id.into())
        .collect();
    let all = run(
        &storage,
        "SELECT VALUE id FROM things ORDER BY id",
        &Object::new(),
    );
    assert_eq!(ids, all.first_rows());
}

#[test]
fn a_scan_reads_the_requested_rows_and_columns() {
    let storage = database();
    let create = "FOR $n IN 0..9 { CREATE type::record('things', $n) SET n = $n, m = 1 }";
    run(&storage, create, &Object::new());
    let two = Object::new().with("two", 2i64);
    let scan = TableScan::new("things", 3).filter("n % $two = 0", &two);
    let columns = |scan: TableScan| pages(&storage, &scan).concat().remove(1).columns;
    assert_eq!(scan.count(&storage, &CallContext::new()).unwrap(), 5);
    assert_eq!(
        columns(scan.clone()),
        Object::new().with("m", 1i64).with("n", 2i64)
    );
    assert_eq!(
        columns(scan.clone().omit(&["n"])),
        Object::new().with("m", 1i64)
    );
    assert_eq!(
        columns(scan.columns(["n + 1 AS next"])),
        Object::new().with("next", 3i64)
    );
}

#[test]
fn a_table_that_is_missing_has_no_rows_and_no_digest() {
    let storage = database();
    let missing = TableScan::new("things", 3);
    let context = CallContext::new();
    assert!(missing.page(&storage, &context, None).unwrap().is_empty());
    assert_eq!(missing.count(&storage, &context).unwrap(), 0);
    let events = TableScan::new("events", 3);
    let digests = digests(&storage, &context, &[missing, events]).unwrap();
    assert!(digests[0].is_nullish() && !digests[1].is_nullish());
}

#[test]
fn pages_have_a_bounded_number_of_bytes_however_large_rows_become() {
    const PAGE: u64 = 40_000;
    let storage = database();
    let create = "\
        FOR $n IN 0..700 { CREATE type::record('things', $n) SET text = 'small' };
        FOR $n IN 700..740 { CREATE type::record('things', $n) SET text = string::repeat('x', 4000) };
        FOR $n IN 740..744 { CREATE type::record('things', $n) SET text = string::repeat('x', 40000) };
        CREATE things:744 SET text = string::repeat('x', 400000);
        FOR $n IN 745..900 { CREATE type::record('things', $n) SET text = 'small' };";
    run(&storage, create, &Object::new());
    let scan = TableScan::new("things", usize::MAX);
    let mut pages = scan.pages(None, Duration::from_secs(60));
    pages.page_bytes = PAGE;
    pages.max_row_bytes = 10 * PAGE;
    let (mut ids, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next(&storage).unwrap() {
        assert!(page.bytes <= PAGE || page.rows.len() == 1);
        ids.extend(page.rows.into_iter().map(|row| row.id));
        unreadable.extend(page.unreadable);
    }
    let id = |number| RecordId {
        table: "things".into(),
        key: RecordKey::Int(number),
    };
    let all_but_one = (0..900).filter(|number| *number != 744).map(id);
    assert!(ids.iter().cloned().eq(all_but_one), "{}", ids.len());
    let [row] = &unreadable[..] else {
        panic!("{unreadable:?}");
    };
    assert_eq!(row.id, id(744));
    assert!(row.bytes.unwrap() > 10 * PAGE);
    let (rows, _) = rows_by_id(&storage, Duration::from_secs(60), "*", &ids).unwrap();
    assert_eq!(rows.len(), ids.len());
}

#[test]
fn rows_between_two_ids_are_counted() {
    let storage = database();
    run(
        &storage,
        "FOR $n IN 0..9 { CREATE type::record('things', $n) }",
        &Object::new(),
    );
    let scan = TableScan::new("things", 3);
    let id = |number: i64| RecordId {
        table: "things".into(),
        key: RecordKey::Int(number),
    };
    let count = |after: Option<i64>, through: Option<i64>| {
        let (after, through) = (after.map(id), through.map(id));
        let context = CallContext::new();
        scan.count_between(&storage, &context, after.as_ref(), through.as_ref())
            .unwrap()
    };
    assert_eq!(count(None, None), 9);
    assert_eq!(count(Some(2), Some(5)), 3);
    assert_eq!(count(None, Some(5)), 6);
    assert_eq!(count(Some(5), None), 3);
}

/// In one statement the database takes these ids for the same.
#[test]
fn rows_whose_ids_differ_in_the_kind_of_a_number_are_told_apart() {
    const IDS: &[&str] = &[
        "[1]",
        "[1.0]",
        "[1dec]",
        "[[2], 'x']",
        "[[2.0], 'x']",
        "{ a: 3 }",
        "{ a: 3.0 }",
        "[0.0]",
        "1",
        "one",
    ];
    let storage = database();
    for (n, id) in IDS.iter().enumerate() {
        let create = format!("CREATE things:{id} SET n = {n}");
        run(&storage, &create, &Object::new());
    }
    let scan = TableScan::new("things", IDS.len());
    let mut expected = scan.page(&storage, &CallContext::new(), None).unwrap();
    assert_eq!(expected.len(), IDS.len());
    let ids: Vec<RecordId> = expected.iter().map(|row| row.id.clone()).collect();
    let (mut found, _) = rows_by_id(&storage, Duration::from_secs(60), "*", &ids).unwrap();
    for rows in [&mut expected, &mut found] {
        rows.sort_by_key(|row| row.columns.get("n").and_then(Value::as_int));
    }
    assert_eq!(found, expected);
}

#[test]
fn equal_ranges_have_equal_digests_and_any_difference_shows() {
    let storage = database();
    let create = "\
        FOR $n IN 0..50 { CREATE type::record('ours', $n) SET n = $n, text = 'a' };";
    run(&storage, create, &Object::new());
    let context = CallContext::new();
    let scan = TableScan::new("ours", 7);
    let next = |after: Option<&RecordId>, limit| {
        scan.digest_next(&storage, &context, after, limit).unwrap()
    };
    let between = |after: Option<&RecordId>, through: &RecordId| {
        scan.digest_between(&storage, &context, after, through)
            .unwrap()
    };

    let first = next(None, 20);
    let end = first.last.clone().unwrap();
    assert_eq!((first.rows, &*end.to_string()), (20, "ours:19"));
    assert_eq!(between(None, &end), first);
    let second = next(Some(&end), 40);
    assert_eq!(second.rows, 30, "as many as there are");
    assert_eq!(between(Some(&end), &second.last.clone().unwrap()), second);
    let none = next(second.last.as_ref(), 5);
    assert_eq!((none.rows, none.last), (0, None));
    let nowhere = TableScan::new("nowhere", 7);
    let none = nowhere.digest_next(&storage, &context, None, 5).unwrap();
    assert_eq!((none.rows, none.last), (0, None));

    for change in [
        "UPDATE ours:3 SET text = 'b'",
        "UPDATE ours:3 SET text = 'a', n = 3f",
        "UPDATE ours:3 SET n = 3, more = NULL",
        "DELETE ours:3",
        "DELETE ours:4; CREATE ours:3 SET n = 3, text = 'a'",
    ] {
        run(&storage, change, &Object::new());
        assert_ne!(between(None, &end), first, "{change}");
    }
    run(
        &storage,
        "UPDATE ours:3 CONTENT { n: 3, text: 'a' }; CREATE ours:4 SET n = 4, text = 'a'",
        &Object::new(),
    );
    assert_eq!(between(None, &end), first);
}

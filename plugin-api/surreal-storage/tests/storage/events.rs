use crate::support::{assert_stored, cx, embedding, object, one, rows, run, storage};
use plugin_api::{
    error::ErrorKind,
    records::EventSearch,
    storage::Storage,
    value::{Object, Timestamp},
};
use std::time::Duration;
use surreal_storage::SurrealStorage;

/// Enough events for words to be rare, and some that matter.
fn filled() -> SurrealStorage {
    let s = storage();
    for number in 0..20 {
        let content = format!("routine entry {number}");
        s.save_event(
            &cx(),
            "ada",
            "log",
            &content,
            &embedding(&[(700, 1.0)]),
            &Object::new(),
        )
        .unwrap();
    }
    for (subject, content, at) in [
        ("cats", "the cat sat on the mat", 0),
        ("cats", "cats chasing a running dog", 1),
        ("dogs", "a dog barked", 2),
    ] {
        s.save_event(
            &cx(),
            "ada",
            subject,
            content,
            &embedding(&[(at, 1.0)]),
            &Object::new(),
        )
        .unwrap();
    }
    s.save_event(
        &cx(),
        "bob",
        "cats",
        "his cat",
        &embedding(&[(0, 1.0)]),
        &Object::new(),
    )
    .unwrap();
    s
}

fn search() -> EventSearch {
    EventSearch {
        user_id: "ada".into(),
        ..EventSearch::default()
    }
}

fn contents(s: &SurrealStorage, search: &EventSearch) -> Vec<String> {
    let found = s.search_events(&cx(), search).unwrap();
    let scores: Vec<f64> = found.iter().map(|f| f.relevance).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    found.iter().map(|f| f.event.content.to_string()).collect()
}

#[test]
fn an_event_is_saved_listed_and_deleted_by_its_user_alone() {
    let s = storage();
    let metadata = object([("n", 1_i64.into())]);
    let receipt = s
        .save_event(&cx(), "ada", "s", "first", &[], &metadata)
        .unwrap();
    assert_stored(&s, "events", &receipt);
    s.save_event(&cx(), "ada", "s", "second", &[1.0], &Object::new())
        .unwrap();
    s.save_event(&cx(), "ada", "t", "other", &[1.0], &Object::new())
        .unwrap();

    let events = s.get_events_by_subject(&cx(), "ada", "s", 0).unwrap();
    let listed: Vec<_> = events.iter().map(|e| e.content.as_str()).collect();
    assert_eq!(listed, ["first", "second"]);
    assert_eq!(events[0].id, one(&receipt).id);
    assert_eq!(events[0].metadata, metadata);
    assert_eq!(
        Some(events[0].created_at),
        one(&receipt)
            .columns
            .get("created_at")
            .unwrap()
            .as_datetime()
    );
    assert_eq!(
        s.get_events_by_subject(&cx(), "ada", "s", 1).unwrap()[0].content,
        "first"
    );

    let id = events[0].id.to_string();
    s.delete_event(&cx(), &id, "bob").unwrap();
    assert_eq!(rows(&s, "events").len(), 3);
    s.delete_event(&cx(), &id, "ada").unwrap();
    s.delete_event(&cx(), &id, "ada").unwrap();
    assert_eq!(rows(&s, "events").len(), 2);
    assert_eq!(
        s.delete_event(&cx(), "entities:x", "ada").unwrap_err().kind,
        ErrorKind::INVALID_INPUT
    );
}

#[test]
fn concurrent_saves_of_events_all_succeed() {
    let s = storage();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    s.save_event(&cx(), "ada", "s", "the same words", &[], &Object::new())
                        .unwrap();
                }
            });
        }
    });
    let search = EventSearch {
        query: "word".into(),
        ..search()
    };
    assert_eq!(contents(&s, &search).len(), 40);
}

#[test]
fn a_text_search_finds_every_form_of_a_word() {
    let s = filled();
    let words = |query: &str| {
        contents(
            &s,
            &EventSearch {
                query: query.into(),
                ..search()
            },
        )
    };
    let mut cats = words("cat");
    cats.sort();
    assert_eq!(
        cats,
        ["cats chasing a running dog", "the cat sat on the mat"]
    );
    assert_eq!(words("run CATS"), ["cats chasing a running dog"]);
    assert_eq!(words("dog").len(), 2);
    assert_eq!(words("zebra"), [""; 0]);
    assert_eq!(words("!!! '; DELETE events; --"), [""; 0]);
    let found = s
        .search_events(
            &cx(),
            &EventSearch {
                query: "mat".into(),
                ..search()
            },
        )
        .unwrap();
    assert!(found[0].relevance > 0.0);
}

#[test]
fn an_embedding_finds_near_events_and_counts_half_beside_words() {
    let s = filled();
    let near = EventSearch {
        embedding: embedding(&[(2, 1.0)]).into(),
        limit: 2,
        ..search()
    };
    let found = s.search_events(&cx(), &near).unwrap();
    assert_eq!(found[0].event.content, "a dog barked");
    assert!((found[0].relevance - 1.0).abs() < 1e-9);
    assert_eq!(found.len(), 2);

    let both = EventSearch {
        query: "mat".into(),
        limit: 50,
        ..near
    };
    let found = s.search_events(&cx(), &both).unwrap();
    let mut texts: Vec<_> = found.iter().map(|f| f.event.content.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        ["a dog barked", "the cat sat on the mat"],
        "the words, or near enough"
    );
    let by_words = s
        .search_events(
            &cx(),
            &EventSearch {
                query: "mat".into(),
                ..search()
            },
        )
        .unwrap();
    for found in &found {
        let expected = match found.event.content.as_str() {
            "a dog barked" => 0.5,
            _ => by_words[0].relevance / 2.0,
        };
        assert!((found.relevance - expected).abs() < 1e-6, "{found:?}");
    }
}

#[test]
fn a_search_without_text_and_embedding_returns_the_newest_first() {
    let s = filled();
    assert_eq!(
        contents(
            &s,
            &EventSearch {
                limit: 2,
                ..search()
            }
        ),
        ["a dog barked", "cats chasing a running dog"]
    );
    assert_eq!(contents(&s, &search()).len(), 23);
    let by_subject = EventSearch {
        subject: "cats".into(),
        query: "dog".into(),
        ..search()
    };
    assert_eq!(contents(&s, &by_subject), ["cats chasing a running dog"]);
    let error = s.search_events(&cx(), &EventSearch::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
}

#[test]
fn times_limit_a_search_and_from_overrides_the_last_hours() {
    let s = storage();
    for (days, content) in [
        (0, "today"),
        (2, "two days"),
        (40, "forty days"),
        (400, "long ago"),
    ] {
        let age = format!("{days}d");
        run(
            &s,
            &format!(
                "CREATE events SET user_id = 'ada', subject = 's', content = '{content}', created_at = time::now() - {age} - 30m"
            ),
        );
    }
    let found = |edit: &dyn Fn(&mut EventSearch)| {
        let mut search = search();
        edit(&mut search);
        contents(&s, &search)
    };
    assert_eq!(found(&|q| q.last_hours = 1), ["today"]);
    assert_eq!(found(&|q| q.last_days = 3), ["today", "two days"]);
    assert_eq!(found(&|q| q.last_months = 2).len(), 3);
    assert_eq!(found(&|q| q.last_months = u32::MAX).len(), 4);
    assert_eq!(
        found(&|q| (q.last_hours, q.last_days, q.last_months) = (1, 3, 2)),
        ["today"]
    );
    let past = |days: u64| Timestamp::now().before(Duration::from_secs(days * 24 * 3600));
    assert_eq!(
        found(&|q| {
            q.from = Some(past(50)).into();
            q.last_hours = 1;
        })
        .len(),
        3
    );
    assert_eq!(
        found(&|q| {
            q.from = Some(past(50)).into();
            q.to = Some(past(1)).into();
        }),
        ["two days", "forty days"]
    );
}

use crate::support::{assert_stored, cx, embedding, object, one, rows, run, storage, time};
use abi_stable::std_types::RString;
use plugin_api::{
    error::ErrorKind,
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob},
    storage::{CodeStorage, Symbols},
    value::{Object, Timestamp},
};
use surreal_storage::SurrealStorage;

fn project(id: &str, name: &str) -> CodeProject {
    CodeProject {
        project_id: id.into(),
        name: name.into(),
        root_path: "/src".into(),
        language_stats: object([("rust", 7_i64.into())]),
        indexing_status: "pending".into(),
        watcher_enabled: true,
        ..CodeProject::default()
    }
}

fn symbol(name_path: &str, start_line: u32) -> CodeSymbol {
    CodeSymbol {
        project_id: "p".into(),
        file_path: "a.rs".into(),
        language: "rust".into(),
        symbol_type: "function".into(),
        name: name_path.rsplit('/').next().unwrap().into(),
        name_path: name_path.into(),
        start_line,
        end_line: start_line + 5,
        ..CodeSymbol::default()
    }
}

fn chunk(symbol: &str, index: u32) -> CodeChunk {
    CodeChunk {
        symbol_id: symbol.into(),
        project_id: "p".into(),
        file_path: "a.rs".into(),
        chunk_index: index,
        chunk_count: 2,
        content: format!("{symbol} {index}").into(),
        ..CodeChunk::default()
    }
}

fn paths(symbols: &Symbols) -> Vec<&str> {
    symbols
        .iter()
        .map(|s| s.record.name_path.as_str())
        .collect()
}

#[test]
fn a_project_keeps_its_watcher_when_it_is_stored_again() {
    let s = storage();
    let first = s.create_code_project(&cx(), &project("p", "One")).unwrap();
    assert_stored(&s, "code_projects", &first);
    let again = CodeProject {
        watcher_enabled: false,
        name: "Two".into(),
        ..project("p", "")
    };
    let second = s.create_code_project(&cx(), &again).unwrap();
    assert_eq!(one(&first).id, one(&second).id);
    let stored = s.get_code_project(&cx(), "p").unwrap().unwrap();
    assert_eq!(
        stored.record,
        CodeProject {
            watcher_enabled: true,
            ..again
        }
    );
    assert_eq!(stored.created_at.unwrap(), time(one(&first), "created_at"));
    assert!(stored.updated_at.unwrap() > stored.created_at.unwrap());

    let receipt = s.update_project_watcher(&cx(), "p", false).unwrap();
    assert_stored(&s, "code_projects", &receipt);
    assert!(
        !s.get_code_project(&cx(), "p")
            .unwrap()
            .unwrap()
            .record
            .watcher_enabled
    );
    assert!(s.get_code_project(&cx(), "q").unwrap().is_none());
}

#[test]
fn completing_a_project_sets_when_it_was_indexed() {
    let s = storage();
    s.create_code_project(&cx(), &project("p", "One")).unwrap();
    let receipt = s.update_project_status(&cx(), "p", "in_progress").unwrap();
    assert_stored(&s, "code_projects", &receipt);
    let get = || s.get_code_project(&cx(), "p").unwrap().unwrap().record;
    assert_eq!(get().indexing_status, "in_progress");
    assert!(get().last_indexed_at.is_none());
    s.update_project_status(&cx(), "p", "completed").unwrap();
    let indexed = get().last_indexed_at;
    assert!(indexed.is_some());
    s.update_project_status(&cx(), "p", "failed").unwrap();
    assert_eq!(get().last_indexed_at, indexed);
    for error in [
        s.update_project_status(&cx(), "q", "completed")
            .unwrap_err(),
        s.update_project_watcher(&cx(), "q", true).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::NOT_FOUND);
    }
    assert_eq!(rows(&s, "code_projects").len(), 1);
}

#[test]
fn projects_are_listed_by_name() {
    let s = storage();
    for (id, name) in [("3", "b"), ("2", "b"), ("1", "c"), ("4", "a")] {
        s.create_code_project(&cx(), &project(id, name)).unwrap();
    }
    let projects = s.list_code_projects(&cx()).unwrap();
    let ids: Vec<_> = projects
        .iter()
        .map(|p| p.record.project_id.as_str())
        .collect();
    assert_eq!(ids, ["4", "2", "3", "1"]);
}

#[test]
fn deleting_a_project_deletes_everything_indexed_of_it() {
    let s = storage();
    for id in ["p", "q"] {
        s.create_code_project(&cx(), &project(id, id)).unwrap();
        s.save_code_file(
            &cx(),
            &CodeFile {
                project_id: id.into(),
                file_path: "a.rs".into(),
                ..CodeFile::default()
            },
        )
        .unwrap();
        s.save_code_symbol(
            &cx(),
            &CodeSymbol {
                project_id: id.into(),
                ..symbol("f", 1)
            },
        )
        .unwrap();
        s.save_code_chunk(
            &cx(),
            &CodeChunk {
                project_id: id.into(),
                ..chunk(id, 0)
            },
        )
        .unwrap();
        s.create_indexing_job(
            &cx(),
            &IndexingJob {
                project_id: id.into(),
                ..IndexingJob::default()
            },
        )
        .unwrap();
    }
    s.delete_code_project(&cx(), "p").unwrap();
    s.delete_code_project(&cx(), "p").unwrap();
    for table in [
        "code_projects",
        "code_files",
        "code_symbols",
        "code_chunks",
        "code_indexing_jobs",
    ] {
        assert_eq!(rows(&s, table).len(), 1, "{table}");
    }
}

#[test]
fn project_stats_count_files_symbols_and_chunks() {
    let s = storage();
    let file = |path: &str, language: &str| CodeFile {
        project_id: "p".into(),
        file_path: path.into(),
        language: language.into(),
        ..CodeFile::default()
    };
    for file in [
        file("a.rs", "rust"),
        file("b.rs", "rust"),
        file("c.go", "go"),
    ] {
        s.save_code_file(&cx(), &file).unwrap();
    }
    s.save_code_symbols(
        &cx(),
        &[
            symbol("f", 1),
            symbol("g", 2),
            CodeSymbol {
                symbol_type: "struct".into(),
                ..symbol("S", 3)
            },
        ],
    )
    .unwrap();
    s.save_code_chunk(&cx(), &chunk("f", 0)).unwrap();
    let stats = s.get_code_project_stats(&cx(), "p").unwrap();
    assert_eq!(
        (stats.file_count, stats.symbol_count, stats.chunk_count),
        (3, 3, 1)
    );
    assert_eq!(
        stats.symbols_by_type,
        object([("function", 2_i64.into()), ("struct", 1_i64.into())])
    );
    assert_eq!(
        stats.files_by_language,
        object([("go", 1_i64.into()), ("rust", 2_i64.into())])
    );
    let unknown = s.get_code_project_stats(&cx(), "q").unwrap();
    assert_eq!(
        (unknown.file_count, unknown.symbols_by_type),
        (0, Object::new())
    );
}

#[test]
fn a_file_is_saved_replaced_listed_and_deleted() {
    let s = storage();
    let file = CodeFile {
        project_id: "p".into(),
        file_path: "b.rs".into(),
        language: "rust".into(),
        file_hash: "h1".into(),
        symbols_count: 3,
        ..CodeFile::default()
    };
    let first = s.save_code_file(&cx(), &file).unwrap();
    assert_stored(&s, "code_files", &first);
    let indexed_at = Timestamp {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };
    let again = CodeFile {
        file_hash: "h2".into(),
        indexed_at: Some(indexed_at).into(),
        ..file.clone()
    };
    let second = s.save_code_file(&cx(), &again).unwrap();
    assert_eq!(one(&first).id, one(&second).id);
    assert_eq!(
        s.get_code_file(&cx(), "p", "b.rs").unwrap().unwrap().record,
        again
    );
    s.save_code_file(
        &cx(),
        &CodeFile {
            file_path: "a.rs".into(),
            ..file.clone()
        },
    )
    .unwrap();
    s.save_code_file(
        &cx(),
        &CodeFile {
            project_id: "q".into(),
            ..file
        },
    )
    .unwrap();
    let files = s.list_code_files(&cx(), "p").unwrap();
    let listed: Vec<_> = files.iter().map(|f| f.record.file_path.as_str()).collect();
    assert_eq!(listed, ["a.rs", "b.rs"]);
    s.delete_code_file(&cx(), "p", "b.rs").unwrap();
    s.delete_code_file(&cx(), "p", "b.rs").unwrap();
    assert!(s.get_code_file(&cx(), "p", "b.rs").unwrap().is_none());
    assert_eq!(rows(&s, "code_files").len(), 2);
}

#[test]
fn a_symbol_is_read_back_whole_and_keeps_what_is_not_given_again() {
    let s = storage();
    let full = CodeSymbol {
        source_code: Some("fn f() {}".into()).into(),
        signature: Some("fn f()".into()).into(),
        doc_string: Some("Does f.".into()).into(),
        embedding: embedding(&[(1, 0.5)]).into(),
        parent_id: Some("S".into()).into(),
        metadata: Some(object([("async", false.into())])).into(),
        start_byte: 10,
        end_byte: 20,
        ..symbol("S/f", 3)
    };
    let first = s.save_code_symbol(&cx(), &full).unwrap();
    assert_stored(&s, "code_symbols", &first);
    assert_eq!(
        s.get_code_symbol(&cx(), "p", "S/f")
            .unwrap()
            .unwrap()
            .record,
        full
    );
    let bare = symbol("S/f", 9);
    let second = s.save_code_symbol(&cx(), &bare).unwrap();
    assert_stored(&s, "code_symbols", &second);
    assert_eq!(one(&first).id, one(&second).id);
    let stored = s.get_code_symbol(&cx(), "p", "S/f").unwrap().unwrap();
    let kept = CodeSymbol {
        start_line: bare.start_line,
        end_line: bare.end_line,
        start_byte: 0,
        end_byte: 0,
        ..full
    };
    assert_eq!(stored.record, kept);
    // An embedding that was kept is in the receipt; one that was given is not.
    assert!(one(&second).columns.get("embedding").is_some());
    assert!(one(&first).columns.get("embedding").is_none());
    assert_eq!(stored.created_at.unwrap(), time(one(&first), "created_at"));
    assert!(s.get_code_symbol(&cx(), "p", "none").unwrap().is_none());
}

#[test]
fn many_symbols_are_stored_in_the_order_given_all_or_none() {
    let s = storage();
    let mut symbols: Vec<_> = (0..300)
        .rev()
        .map(|n| symbol(&format!("f{n:03}"), n))
        .collect();
    symbols[17].embedding = embedding(&[(2, 1.0)]).into();
    let receipt = s.save_code_symbols(&cx(), &symbols).unwrap();
    assert_eq!(receipt.rows.len(), 300);
    assert_stored(&s, "code_symbols", &receipt);
    for (row, symbol) in receipt.rows.iter().zip(&symbols) {
        assert_eq!(
            row.columns.get("name_path").unwrap().as_str(),
            Some(symbol.name_path.as_str())
        );
    }
    // The same key twice in one call: the last one stays.
    let twice = s
        .save_code_symbols(&cx(), &[symbol("x", 1), symbol("y", 1), symbol("x", 2)])
        .unwrap();
    assert_eq!(twice.rows[0], twice.rows[2]);
    assert_eq!(
        s.get_code_symbol(&cx(), "p", "x")
            .unwrap()
            .unwrap()
            .record
            .start_line,
        2
    );
    assert_eq!(rows(&s, "code_symbols").len(), 302);
    assert!(s.save_code_symbols(&cx(), &[]).unwrap().rows.is_empty());

    let mut deep = plugin_api::value::Value::Null;
    for _ in 0..1000 {
        deep = vec![deep].into();
    }
    let rejected = CodeSymbol {
        metadata: Some(object([("deep", deep)])).into(),
        ..symbol("w", 1)
    };
    let error = s
        .save_code_symbols(&cx(), &[symbol("v", 1), rejected])
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
    assert_eq!(rows(&s, "code_symbols").len(), 302);
}

#[test]
fn symbols_are_found_by_name_file_parent_and_similarity() {
    let s = storage();
    let child = |path: &str, line, at: usize| CodeSymbol {
        parent_id: Some("S".into()).into(),
        embedding: embedding(&[(at, 1.0)]).into(),
        ..symbol(path, line)
    };
    let outer = CodeSymbol {
        symbol_type: "struct".into(),
        embedding: embedding(&[(2, 1.0)]).into(),
        ..symbol("Server", 1)
    };
    let elsewhere = CodeSymbol {
        file_path: "b.rs".into(),
        ..symbol("serve_all", 1)
    };
    s.save_code_symbols(
        &cx(),
        &[
            child("Server/b", 8, 2),
            child("Server/a", 4, 1),
            child("Server/c", 4, 3),
            outer,
            elsewhere,
        ],
    )
    .unwrap();

    let by_name = |name: &str, types: &[RString], limit| {
        s.find_symbols_by_name(&cx(), "p", name, types, limit)
            .unwrap()
    };
    assert_eq!(paths(&by_name("erve", &[], 0)), ["Server", "serve_all"]);
    assert_eq!(
        paths(&by_name("erve", &["function".into()], 0)),
        ["serve_all"]
    );
    assert_eq!(
        paths(&by_name("", &["function".into(), "struct".into()], 2)),
        ["Server", "Server/a"]
    );
    assert!(by_name("' OR true --", &[], 0).is_empty());

    let by_file = s.find_symbols_by_file(&cx(), "p", "a.rs").unwrap();
    assert_eq!(
        paths(&by_file),
        ["Server", "Server/a", "Server/c", "Server/b"]
    );
    let children = s.find_child_symbols(&cx(), "p", "S").unwrap();
    assert_eq!(paths(&children), ["Server/a", "Server/c", "Server/b"]);

    let near = |types: &[RString], limit| {
        s.search_symbols_by_similarity(&cx(), "p", &embedding(&[(2, 1.0), (1, 0.5)]), types, limit)
            .unwrap()
    };
    let found = near(&["function".into()], 2);
    assert_eq!(found[0].found.record.name_path, "Server/b");
    assert_eq!(found[1].found.record.name_path, "Server/a");
    assert_eq!(
        near(&[], 0).len(),
        4,
        "a symbol without an embedding is not found"
    );

    s.delete_symbols_by_file(&cx(), "p", "a.rs").unwrap();
    assert_eq!(rows(&s, "code_symbols").len(), 1);
}

#[test]
fn chunks_are_saved_listed_found_and_deleted() {
    let s = storage();
    let first = s.save_code_chunk(&cx(), &chunk("f", 1)).unwrap();
    let both = s
        .save_code_chunks(
            &cx(),
            &[
                CodeChunk {
                    embedding: embedding(&[(1, 1.0)]).into(),
                    ..chunk("f", 1)
                },
                CodeChunk {
                    embedding: embedding(&[(0, 1.0)]).into(),
                    ..chunk("f", 0)
                },
            ],
        )
        .unwrap();
    assert_stored(&s, "code_chunks", &both);
    assert_eq!(both.rows[0].id, one(&first).id);
    let chunks = s.get_chunks_by_symbol(&cx(), "f").unwrap();
    assert_eq!(
        chunks
            .iter()
            .map(|c| c.record.chunk_index)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(chunks[0].created_at.is_some());
    let found = s
        .search_chunks_by_similarity(&cx(), "p", &embedding(&[(1, 1.0)]), 0)
        .unwrap();
    assert_eq!(found[0].found.record.chunk_index, 1);
    assert_eq!(found.len(), 2);

    s.save_code_chunks(
        &cx(),
        &[
            chunk("g", 0),
            CodeChunk {
                file_path: "b.rs".into(),
                ..chunk("h", 0)
            },
        ],
    )
    .unwrap();
    s.delete_chunks_by_symbol(&cx(), "f").unwrap();
    assert!(s.get_chunks_by_symbol(&cx(), "f").unwrap().is_empty());
    s.delete_chunks_by_file(&cx(), "p", "a.rs").unwrap();
    assert_eq!(rows(&s, "code_chunks").len(), 1);
}

#[test]
fn a_job_goes_from_pending_to_completed() {
    let s: SurrealStorage = storage();
    let new = |status: &str, project: &str| IndexingJob {
        project_id: project.into(),
        project_path: "/src".into(),
        status: status.into(),
        files_total: 10,
        ..IndexingJob::default()
    };
    let created = s.create_indexing_job(&cx(), &new("pending", "p")).unwrap();
    assert_stored(&s, "code_indexing_jobs", &created);
    s.create_indexing_job(&cx(), &new("in_progress", "q"))
        .unwrap();
    s.create_indexing_job(&cx(), &new("completed", "r"))
        .unwrap();
    let active = || {
        let jobs = s.list_active_indexing_jobs(&cx()).unwrap();
        jobs.iter()
            .map(|job| job.record.project_id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(active(), ["q", "p"]);

    let id = one(&created).id.to_string();
    let update = |status: &str, progress, files, error: &str| {
        s.update_indexing_job(&cx(), &id, status, progress, files, error)
            .unwrap()
    };
    assert_stored(&s, "code_indexing_jobs", &update("in_progress", 0.5, 5, ""));
    let job = s.get_indexing_job(&cx(), &id).unwrap().unwrap().record;
    assert_eq!(
        (job.progress, job.files_indexed, job.files_total),
        (0.5, 5, 10)
    );
    assert!(job.started_at.is_some() && job.completed_at.is_none() && job.error.is_none());
    update("failed", 0.6, 6, "disk full");
    let job = s.get_indexing_job(&cx(), &id).unwrap().unwrap().record;
    assert_eq!(job.error, Some("disk full".into()).into());
    assert!(job.completed_at.unwrap() >= job.started_at.unwrap());
    assert_eq!(active(), ["q"]);

    let absent = s
        .update_indexing_job(&cx(), "absent", "failed", 0.0, 0, "")
        .unwrap_err();
    assert_eq!(absent.kind, ErrorKind::NOT_FOUND);
    let odd = s
        .update_indexing_job(&cx(), &id, "failed", f64::NAN, 0, "")
        .unwrap_err();
    assert_eq!(odd.kind, ErrorKind::INVALID_INPUT);
    assert!(s.get_indexing_job(&cx(), "absent").unwrap().is_none());
    assert_eq!(
        s.get_indexing_job(&cx(), "events:x").unwrap_err().kind,
        ErrorKind::INVALID_INPUT
    );
    assert_eq!(rows(&s, "code_indexing_jobs").len(), 3);
}

#[test]
fn deleting_a_file_deletes_its_symbols_and_chunks_and_no_others() {
    let s = storage();
    let chunk = |file: &str| CodeChunk {
        symbol_id: file.into(),
        project_id: "p".into(),
        file_path: file.into(),
        content: "c".into(),
        ..CodeChunk::default()
    };
    for file in ["gone.rs", "kept.rs"] {
        let indexed = CodeFile {
            project_id: "p".into(),
            file_path: file.into(),
            ..CodeFile::default()
        };
        s.save_code_file(&cx(), &indexed).unwrap();
        let symbol = CodeSymbol {
            file_path: file.into(),
            ..symbol(file, 1)
        };
        s.save_code_symbol(&cx(), &symbol).unwrap();
        s.save_code_chunk(&cx(), &chunk(file)).unwrap();
    }
    s.delete_code_file(&cx(), "other", "gone.rs").unwrap();
    s.delete_code_file(&cx(), "p", "gone.rs").unwrap();
    for table in ["code_files", "code_symbols", "code_chunks"] {
        let left = run(&s, &format!("SELECT VALUE file_path FROM {table}"));
        assert_eq!(
            left[0],
            plugin_api::value::Value::from(vec![plugin_api::value::Value::from("kept.rs")]),
            "{table}"
        );
    }
}

#[test]
fn creating_a_project_again_keeps_when_it_was_indexed_unless_that_is_given() {
    let s = storage();
    let get = || s.get_code_project(&cx(), "p").unwrap().unwrap().record;
    s.create_code_project(&cx(), &project("p", "One")).unwrap();
    s.update_project_status(&cx(), "p", "completed").unwrap();
    let indexed = get().last_indexed_at;
    assert!(indexed.is_some());
    let receipt = s.create_code_project(&cx(), &project("p", "Two")).unwrap();
    assert_stored(&s, "code_projects", &receipt);
    assert_eq!((&*get().name, get().last_indexed_at), ("Two", indexed));
    let at = Timestamp {
        seconds: 1_700_000_000,
        nanos: 0,
    };
    let given = CodeProject {
        last_indexed_at: Some(at).into(),
        ..project("p", "Two")
    };
    s.create_code_project(&cx(), &given).unwrap();
    assert_eq!(get().last_indexed_at, Some(at).into());
}

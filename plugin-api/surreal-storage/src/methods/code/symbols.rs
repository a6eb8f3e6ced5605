//! Symbols: functions, types, methods, ….

use super::{all_stored, stored};
use crate::{
    methods::{limit_or, parameters},
    rows::{Row, optional_embedding},
    schema::SYMBOLS,
    storage::Call,
};
use abi_stable::std_types::{ROption, RString, RVec};
use plugin_api::{
    error::StorageResult,
    records::{CodeSymbol, Scored, WriteReceipt},
    storage::{FoundSymbols, MaybeSymbol, Symbols},
    value::{Object, Value},
};

fn symbol(row: &Row) -> CodeSymbol {
    CodeSymbol {
        project_id: row.text("project_id"),
        file_path: row.text("file_path"),
        language: row.text("language"),
        symbol_type: row.text("symbol_type"),
        name: row.text("name"),
        name_path: row.text("name_path"),
        start_line: row.number("start_line"),
        end_line: row.number("end_line"),
        start_byte: row.number("start_byte"),
        end_byte: row.number("end_byte"),
        source_code: row.optional_text("source_code"),
        signature: row.optional_text("signature"),
        doc_string: row.optional_text("doc_string"),
        embedding: row.embedding(),
        parent_id: row.optional_text("parent_id"),
        metadata: row.optional_object("metadata"),
    }
}

fn row(symbol: CodeSymbol) -> Object {
    parameters! {
        project_id: symbol.project_id,
        file_path: symbol.file_path,
        language: symbol.language,
        symbol_type: symbol.symbol_type,
        name: symbol.name,
        name_path: symbol.name_path,
        start_line: symbol.start_line,
        end_line: symbol.end_line,
        start_byte: symbol.start_byte,
        end_byte: symbol.end_byte,
        source_code: symbol.source_code.into_option(),
        signature: symbol.signature.into_option(),
        doc_string: symbol.doc_string.into_option(),
        embedding: optional_embedding(&symbol.embedding),
        parent_id: symbol.parent_id.into_option(),
        metadata: symbol.metadata.into_option(),
    }
}

/// True for symbols of the types in `$types`, or of any if there are none.
const OF_TYPES: &str = "(array::is_empty($types) OR symbol_type IN $types)";

fn types(symbol_types: Vec<RString>) -> Value {
    symbol_types.into_iter().collect()
}

impl Call {
    pub(crate) async fn save_code_symbol(self, symbol: CodeSymbol) -> StorageResult<WriteReceipt> {
        self.upsert(&SYMBOLS, vec![row(symbol)]).await
    }

    pub(crate) async fn save_code_symbols(
        self,
        symbols: Vec<CodeSymbol>,
    ) -> StorageResult<WriteReceipt> {
        self.upsert(&SYMBOLS, symbols.into_iter().map(row).collect())
            .await
    }

    pub(crate) async fn get_code_symbol(
        self,
        project_id: String,
        name_path: String,
    ) -> StorageResult<MaybeSymbol> {
        let answer = self
            .ask(
                "SELECT * FROM code_symbols WHERE project_id = $project AND name_path = $path LIMIT 1",
                parameters! { project: project_id, path: name_path },
            )
            .await?;
        let found = Row::first(answer).map(|row| stored(&row, symbol(&row)));
        found.transpose().map(ROption::from)
    }

    pub(crate) async fn find_symbols_by_name(
        self,
        project_id: String,
        name: String,
        symbol_types: Vec<RString>,
        limit: u32,
    ) -> StorageResult<Symbols> {
        let statement = format!(
            "SELECT * FROM code_symbols
             WHERE project_id = $project AND string::contains(name ?? '', $name) AND {OF_TYPES}
             ORDER BY name_path ASC LIMIT $limit"
        );
        let parameters = parameters! {
            project: project_id,
            name: name,
            types: types(symbol_types),
            limit: limit_or(limit, 50),
        };
        all_stored(self.ask(&statement, parameters).await?, symbol)
    }

    pub(crate) async fn find_symbols_by_file(
        self,
        project_id: String,
        file_path: String,
    ) -> StorageResult<Symbols> {
        let answer = self
            .ask(
                "SELECT * FROM code_symbols WHERE project_id = $project AND file_path = $path
                 ORDER BY start_line ASC, name_path ASC",
                parameters! { project: project_id, path: file_path },
            )
            .await?;
        all_stored(answer, symbol)
    }

    pub(crate) async fn find_child_symbols(
        self,
        project_id: String,
        parent_id: String,
    ) -> StorageResult<Symbols> {
        let answer = self
            .ask(
                "SELECT * FROM code_symbols WHERE project_id = $project AND parent_id = $parent_id
                 ORDER BY start_line ASC, name_path ASC",
                parameters! { project: project_id, parent_id: parent_id },
            )
            .await?;
        all_stored(answer, symbol)
    }

    pub(crate) async fn search_symbols_by_similarity(
        self,
        project_id: String,
        query_embedding: Vec<f32>,
        symbol_types: Vec<RString>,
        limit: u32,
    ) -> StorageResult<FoundSymbols> {
        let condition = format!("project_id = $project AND {OF_TYPES}");
        let parameters = parameters! { project: project_id, types: types(symbol_types) };
        let rows = self
            .nearest(
                SYMBOLS.name,
                &condition,
                parameters,
                &query_embedding,
                limit_or(limit, 10),
            )
            .await?;
        let found = rows.iter().map(|(row, similarity)| {
            Ok(Scored {
                found: stored(row, symbol(row))?,
                similarity: *similarity,
            })
        });
        found.collect::<StorageResult<RVec<_>>>()
    }

    pub(crate) async fn delete_symbols_by_file(
        self,
        project_id: String,
        file_path: String,
    ) -> StorageResult<()> {
        self.write(
            "DELETE code_symbols WHERE project_id = $project AND file_path = $path",
            parameters! { project: project_id, path: file_path },
        )
        .await
        .map(drop)
    }
}

//! [`Effects`]: which tables a text writes.

use super::{Deletion, ReturnedRows, Target};
use plugin_api::value::Object;
use std::{collections::BTreeSet, fmt, slice};
use surrealdb_sql::{
    Data, Expr, Field, Fields, Function, Idiom, Literal, Output, Part, PostfixOperator,
    ast::TopLevelExpr,
    statements::{DefineStatement, SelectStatement},
};

/// What a text may do to the rows of the database.
#[derive(Debug)]
pub struct Effects {
    written: BTreeSet<Target>,
    /// True if the text deletes rows, of whatever table.
    deletes: bool,
    /// Is it one statement? Then it is atomic.
    pub single_statement: bool,
    /// False if the text could not be parsed here.
    pub parsed: bool,
    /// Which rows it wrote, if its answer shows that.
    pub returned_rows: Option<ReturnedRows>,
    /// Which rows it deletes, if they can be read beforehand.
    pub deletion: Option<Deletion>,
}

impl Effects {
    /// Of a text that cannot be parsed.
    pub(super) fn of_unknown_text() -> Self {
        Self {
            written: [Target::Unknown].into(),
            deletes: true,
            single_statement: false,
            parsed: false,
            returned_rows: None,
            deletion: None,
        }
    }

    pub(super) fn of(statements: &[TopLevelExpr]) -> Self {
        let mut visitor = StatementVisitor::default();
        for statement in statements {
            match statement {
                TopLevelExpr::Expr(expression) => visitor.sequence(slice::from_ref(expression)),
                // None of them writes rows. An access grant is stored outside
                // of the tables.
                TopLevelExpr::Begin
                | TopLevelExpr::Cancel
                | TopLevelExpr::Commit
                | TopLevelExpr::Access(_)
                | TopLevelExpr::Kill(_)
                | TopLevelExpr::Live(_)
                | TopLevelExpr::Option(_)
                | TopLevelExpr::Use(_)
                | TopLevelExpr::Show(_) => {}
            }
        }
        let mut written = visitor.written;
        if visitor.binds {
            // A name may stand for what the text bound to it.
            let known = written.len();
            written.retain(|target| matches!(target, Target::Table(_) | Target::Unknown));
            if written.len() < known {
                written.insert(Target::Unknown);
            }
        }
        let single = match statements {
            [TopLevelExpr::Expr(expression)] => Some(expression),
            _ => None,
        };
        Self {
            returned_rows: single
                // What another statement inside it wrote is not in its answer.
                .filter(|_| visitor.writes == 1)
                .and_then(ReturnedRows::of),
            deletion: single.filter(|_| written.is_empty()).and_then(Deletion::of),
            single_statement: single.is_some(),
            parsed: true,
            deletes: visitor.deletes,
            written,
        }
    }

    /// Does it change no row?
    pub(super) fn is_none(&self) -> bool {
        self.written.is_empty() && !self.deletes
    }

    /// The tables whose rows it writes with these parameters, without those
    /// that it only deletes from; none if it may be any.
    pub fn written(&self, parameters: &Object) -> Option<BTreeSet<String>> {
        let tables: Option<Vec<_>> = self
            .written
            .iter()
            .map(|it| it.tables(parameters))
            .collect();
        Some(tables?.into_iter().flatten().collect())
    }
}

/// Visits what may write. An expression that the parser's crate considers
/// read-only is not entered; one that is not known in detail is a write of
/// unknown tables.
#[derive(Default)]
struct StatementVisitor {
    written: BTreeSet<Target>,
    /// How many statements write or delete.
    writes: usize,
    deletes: bool,
    /// Does the text bind names to values?
    binds: bool,
}

impl StatementVisitor {
    fn unknown(&mut self) {
        self.written.insert(Target::Unknown);
    }

    fn expression(&mut self, expression: &Expr) {
        if expression.read_only() {
            return;
        }
        match expression {
            Expr::Create(it) => {
                self.writes += 1;
                self.targets(&it.what);
                self.data(it.data.as_ref());
                self.output(it.output.as_ref());
                self.expression(&it.timeout);
            }
            Expr::Update(it) => {
                self.writes += 1;
                self.targets(&it.what);
                self.data(it.data.as_ref());
                self.condition(it.cond.as_ref());
                self.output(it.output.as_ref());
                self.expression(&it.timeout);
            }
            Expr::Upsert(it) => {
                self.writes += 1;
                self.targets(&it.what);
                self.data(it.data.as_ref());
                self.condition(it.cond.as_ref());
                self.output(it.output.as_ref());
                self.expression(&it.timeout);
            }
            Expr::Insert(it) => {
                self.writes += 1;
                match &it.into {
                    Some(into) => self.target(into),
                    None => self.unknown(),
                }
                self.data(Some(&it.data));
                self.data(it.update.as_ref());
                self.output(it.output.as_ref());
                self.expression(&it.timeout);
            }
            Expr::Relate(it) => {
                self.writes += 1;
                self.target(&it.through);
                self.expression(&it.from);
                self.expression(&it.to);
                self.data(it.data.as_ref());
                self.output(it.output.as_ref());
                self.expression(&it.timeout);
            }
            Expr::Delete(it) => {
                self.writes += 1;
                self.deletes = true;
                self.expressions(&it.what);
                self.condition(it.cond.as_ref());
                self.output(it.output.as_ref());
                self.expression(&it.timeout);
            }
            Expr::Define(it) => self.definition(it),
            // They remove rows from the primary; the copies stay.
            Expr::Remove(it) => {
                self.deletes = true;
                self.or_unknown(!names_a_write(it));
            }
            Expr::Rebuild(it) => self.or_unknown(!names_a_write(it)),
            Expr::Alter(it) => self.or_unknown(!names_a_write(it)),
            Expr::Select(it) => self.select(it),
            Expr::Block(it) => self.sequence(&it.0),
            Expr::Let(it) => self.expression(&it.what),
            Expr::Foreach(it) => {
                self.binds = true;
                self.expression(&it.range);
                self.sequence(&it.block.0);
            }
            Expr::IfElse(it) => {
                for (condition, body) in &it.exprs {
                    self.expression(condition);
                    self.expression(body);
                }
                it.close.iter().for_each(|body| self.expression(body));
            }
            Expr::Return(it) => {
                self.expression(&it.what);
                self.or_unknown(it.fetch.as_ref().is_none_or(|fetch| fetch.read_only()));
            }
            Expr::Throw(inner) | Expr::Prefix { expr: inner, .. } => self.expression(inner),
            Expr::Explain { statement, .. } => self.expression(statement),
            Expr::Binary { left, right, .. } => {
                self.expression(left);
                self.expression(right);
            }
            Expr::Postfix { expr, op } => {
                self.expression(expr);
                match op {
                    PostfixOperator::Range | PostfixOperator::RangeSkip => {}
                    // The called value may be any function.
                    PostfixOperator::Call(_) | PostfixOperator::MethodCall(..) => self.unknown(),
                }
            }
            Expr::FunctionCall(it) => {
                let known = matches!(&it.receiver, Function::Normal(_) | Function::Model(_));
                self.or_unknown(known && it.receiver.read_only());
                self.expressions(&it.arguments);
            }
            Expr::Closure(it) => {
                self.binds = true;
                self.expression(&it.body);
            }
            Expr::Literal(Literal::Array(items) | Literal::Set(items)) => self.expressions(items),
            Expr::Literal(Literal::Object(entries)) => {
                entries
                    .iter()
                    .for_each(|entry| self.expression(&entry.value));
            }
            Expr::Idiom(idiom) => self.idiom(idiom),
            Expr::Info(_)
            | Expr::Literal(_)
            | Expr::Param(_)
            | Expr::Table(_)
            | Expr::Mock(_)
            | Expr::Constant(_)
            | Expr::Break
            | Expr::Continue
            | Expr::Sleep(_) => self.unknown(),
        }
    }

    fn expressions(&mut self, expressions: &[Expr]) {
        expressions.iter().for_each(|it| self.expression(it));
    }

    /// Expressions in sequence, of which later ones see the names that earlier
    /// ones have bound.
    fn sequence(&mut self, expressions: &[Expr]) {
        self.binds |= expressions.iter().any(|it| matches!(it, Expr::Let(_)));
        self.expressions(expressions);
    }

    fn or_unknown(&mut self, harmless: bool) {
        if !harmless {
            self.unknown();
        }
    }

    fn targets(&mut self, targets: &[Expr]) {
        targets.iter().for_each(|it| self.target(it));
    }

    /// The target of a statement that writes; evaluating it may write as well.
    fn target(&mut self, target: &Expr) {
        self.written.extend(Target::of(target));
        self.expression(target);
    }

    fn condition(&mut self, condition: Option<&surrealdb_sql::Cond>) {
        if let Some(condition) = condition {
            self.expression(&condition.0);
        }
    }

    fn data(&mut self, data: Option<&Data>) {
        match data {
            None | Some(Data::EmptyExpression) => {}
            Some(Data::SetExpression(items) | Data::UpdateExpression(items)) => {
                for item in items {
                    self.idiom(&item.place);
                    self.expression(&item.value);
                }
            }
            Some(Data::UnsetExpression(places)) => places.iter().for_each(|it| self.idiom(it)),
            Some(
                Data::PatchExpression(it)
                | Data::MergeExpression(it)
                | Data::ReplaceExpression(it)
                | Data::ContentExpression(it)
                | Data::SingleExpression(it),
            ) => self.expression(it),
            Some(Data::ValuesExpression(rows)) => {
                for (place, value) in rows.iter().flatten() {
                    self.idiom(place);
                    self.expression(value);
                }
            }
        }
    }

    fn output(&mut self, output: Option<&Output>) {
        if let Some(Output::Fields(fields)) = output {
            self.fields(fields);
        }
    }

    fn fields(&mut self, fields: &Fields) {
        match fields {
            Fields::Value(selector) => self.expression(&selector.expr),
            Fields::Select(fields) => {
                for field in fields {
                    if let Field::Single(selector) = field {
                        self.expression(&selector.expr);
                    }
                }
            }
        }
    }

    fn idiom(&mut self, idiom: &Idiom) {
        for part in idiom.0.iter().filter(|part| !part.read_only()) {
            match part {
                Part::Start(it) | Part::Where(it) | Part::Value(it) => self.expression(it),
                _ => self.unknown(),
            }
        }
    }

    fn select(&mut self, it: &SelectStatement) {
        self.fields(&it.fields);
        self.expressions(&it.omit);
        self.expressions(&it.what);
        self.condition(it.cond.as_ref());
        self.expression(&it.version);
        self.expression(&it.timeout);
        it.limit.iter().for_each(|limit| self.expression(&limit.0));
        it.start.iter().for_each(|start| self.expression(&start.0));
        let rest = it.split.as_ref().is_none_or(|it| it.read_only())
            && it.group.as_ref().is_none_or(|it| it.read_only())
            && it.order.as_ref().is_none_or(|it| it.read_only())
            && it.fetch.as_ref().is_none_or(|it| it.read_only());
        self.or_unknown(rest);
    }

    /// A definition changes no row, but for the rows of a view and for what is
    /// evaluated at once: names, comments, a parameter's value.
    fn definition(&mut self, definition: &DefineStatement) {
        match definition {
            DefineStatement::Function(it) => self.expression(&it.comment),
            DefineStatement::Event(it) => {
                self.expression(&it.name);
                self.expression(&it.target_table);
                self.expression(&it.comment);
            }
            DefineStatement::Table(it) if it.view.is_some() => self.target(&it.name),
            DefineStatement::Param(it) if it.comment.read_only() => self.expression(&it.value),
            other => self.or_unknown(!names_a_write(other)),
        }
    }
}

/// Does a statement about the schema contain one that writes? It can hold
/// expressions in many places, which change with each version, so its debug
/// output is searched instead. A text that quotes such output is taken for a
/// write as well, which does no harm.
fn names_a_write(statement: &impl fmt::Debug) -> bool {
    const WRITES: &[&str] = &[
        "CreateStatement",
        "UpdateStatement",
        "UpsertStatement",
        "InsertStatement",
        "RelateStatement",
        "DefineParamStatement",
        // Functions that are not the database's own, and what is called as one.
        "op: Call(",
        "MethodCall(",
        "Custom(",
        "Script(",
        "Module(",
        "Silo {",
        "eval::",
        "api::invoke",
    ];
    let inside = format!("{statement:?}");
    WRITES.iter().any(|name| inside.contains(name))
}

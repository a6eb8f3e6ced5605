//! [`PlainExpressions`]: which expressions depend on the row and the parameters
//! alone, and so have the same value in every database that has the row.

use std::collections::BTreeSet;
use surrealdb_sql::{
    BinaryOperator, Expr, Function, Literal, Part, PostfixOperator, RecordIdKeyLit,
    method::is_builtin_method,
};

/// The modules of functions whose result depends on their arguments alone.
const PURE_MODULES: &[&str] = &[
    "array", "bytes", "crypto", "duration", "encoding", "geo", "math", "not", "object", "parse",
    "set", "string", "time", "type", "vector",
];

/// Those among them whose result does not.
const IMPURE_FUNCTIONS: &[&str] = &[
    "array::shuffle",
    "type::field",
    "type::fields",
    "vector::distance::knn",
];

/// Checks the expressions of a statement, and collects the parameters that they
/// read.
#[derive(Default)]
pub(super) struct PlainExpressions {
    /// The parameters that were read so far.
    pub(super) parameters: BTreeSet<String>,
    /// The arguments of the enclosing closures.
    arguments: Vec<String>,
}

impl PlainExpressions {
    /// Does the expression depend on the row and the parameters alone?
    pub(super) fn is_plain(&mut self, expression: &Expr) -> bool {
        match expression {
            Expr::Literal(literal) => match literal {
                Literal::Array(items) | Literal::Set(items) => self.all(items),
                Literal::Object(entries) => entries.iter().all(|entry| self.is_plain(&entry.value)),
                Literal::RecordId(id) => matches!(
                    id.key,
                    RecordIdKeyLit::Number(_) | RecordIdKeyLit::String(_) | RecordIdKeyLit::Uuid(_)
                ),
                _ => true,
            },
            Expr::Param(name) => {
                let name = name.as_str();
                if name != "this" && !self.arguments.iter().any(|argument| argument == name) {
                    self.parameters.insert(name.to_owned());
                }
                name != "parent"
            }
            Expr::Constant(_) => true,
            Expr::Idiom(idiom) => idiom.0.iter().all(|part| self.is_plain_part(part)),
            Expr::Prefix { expr, .. } => self.is_plain(expr),
            Expr::Binary { left, op, right } => {
                // These depend on an index, and each database has its own.
                let indexed = matches!(
                    op,
                    BinaryOperator::Matches(_) | BinaryOperator::NearestNeighbor(_)
                );
                !indexed && self.is_plain(left) && self.is_plain(right)
            }
            Expr::Postfix { expr, op } => {
                self.is_plain(expr)
                    && match op {
                        PostfixOperator::Range | PostfixOperator::RangeSkip => true,
                        PostfixOperator::MethodCall(name, arguments) => {
                            is_plain_method(name) && self.all(arguments)
                        }
                        PostfixOperator::Call(_) => false,
                    }
            }
            Expr::FunctionCall(call) => {
                matches!(&call.receiver, Function::Normal(name) if is_plain_function(name))
                    && self.all(&call.arguments)
            }
            Expr::Closure(closure) => {
                let outside = self.arguments.len();
                let arguments = closure.args.iter();
                self.arguments
                    .extend(arguments.map(|(name, _)| name.as_str().to_owned()));
                let plain = self.is_plain(&closure.body);
                self.arguments.truncate(outside);
                plain
            }
            _ => false,
        }
    }

    /// Do all of them?
    pub(super) fn all(&mut self, expressions: &[Expr]) -> bool {
        expressions.iter().all(|it| self.is_plain(it))
    }

    fn is_plain_part(&mut self, part: &Part) -> bool {
        match part {
            Part::All
            | Part::Flatten
            | Part::Last
            | Part::First
            | Part::Field(_)
            | Part::Optional => true,
            Part::Where(it) | Part::Value(it) | Part::Start(it) => self.is_plain(it),
            Part::Method(name, arguments) => is_plain_method(name.as_str()) && self.all(arguments),
            Part::Graph(_)
            | Part::Destructure(_)
            | Part::Recurse(..)
            | Part::Doc
            | Part::RepeatRecurse => false,
        }
    }
}

fn is_plain_function(name: &str) -> bool {
    let module = name.split("::").next().unwrap_or_default();
    PURE_MODULES.contains(&module) && !IMPURE_FUNCTIONS.contains(&name)
}

/// Some methods depend on something else: other records, files, or chance.
fn is_plain_method(name: &str) -> bool {
    const IMPURE_METHODS: &[&str] = &[
        "bucket",
        "copy",
        "copy_if_not_exists",
        "delete",
        "exists",
        "get",
        "head",
        "list",
        "put",
        "put_if_not_exists",
        "refs",
        "rename",
        "rename_if_not_exists",
        "shuffle",
        "vector_distance_knn",
    ];
    is_builtin_method(name) && !IMPURE_METHODS.contains(&name)
}

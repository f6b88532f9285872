//! The operations of a transaction: RFC 7047, section 5.2.

use serde_json::{Map, Value, json};

/// One operation. Rows are `{column: value}`, conditions `[column, function, value]`, mutations `[column, mutator, value]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Adds a row, which later operations may refer to by `uuid_name`.
    Insert {
        /// The table.
        table: &'static str,
        /// The row.
        row: Value,
        /// Its name in this transaction.
        uuid_name: String,
    },
    /// Sets columns of all rows that match.
    Update {
        /// The table.
        table: &'static str,
        /// All of them must hold.
        conditions: Vec<Value>,
        /// The new columns.
        row: Value,
    },
    /// Changes columns of all rows that match, relative to what they are.
    Mutate {
        /// The table.
        table: &'static str,
        /// All of them must hold.
        conditions: Vec<Value>,
        /// What is changed.
        mutations: Vec<Value>,
    },
    /// Removes all rows that match.
    Delete {
        /// The table.
        table: &'static str,
        /// All of them must hold.
        conditions: Vec<Value>,
    },
    /// Reads the rows that match.
    Select {
        /// The table.
        table: &'static str,
        /// All of them must hold.
        conditions: Vec<Value>,
        /// What is read.
        columns: Vec<&'static str>,
    },
    /// Makes the transaction fail, at once, unless the rows that match are exactly `rows`.
    Wait {
        /// The table.
        table: &'static str,
        /// All of them must hold.
        conditions: Vec<Value>,
        /// What is compared.
        columns: Vec<&'static str>,
        /// What is expected.
        rows: Vec<Value>,
    },
    /// Text that the server keeps with the transaction in its log (`ovsdb-tool show-log`).
    Comment(String),
}

impl Op {
    /// The operation's name and table, as error messages have it.
    pub(super) fn name(&self) -> String {
        let (name, table) = match self {
            Self::Insert { table, .. } => ("insert", *table),
            Self::Update { table, .. } => ("update", *table),
            Self::Mutate { table, .. } => ("mutate", *table),
            Self::Delete { table, .. } => ("delete", *table),
            Self::Select { table, .. } => ("select", *table),
            Self::Wait { table, .. } => ("wait", *table),
            Self::Comment(_) => ("comment", ""),
        };
        format!("{name} {table}").trim_end().to_owned()
    }
}

impl From<Op> for Value {
    fn from(op: Op) -> Self {
        match op {
            Op::Insert { table, row, uuid_name } => {
                json!({ "op": "insert", "table": table, "row": row, "uuid-name": uuid_name })
            }
            Op::Update { table, conditions, row } => {
                json!({ "op": "update", "table": table, "where": conditions, "row": row })
            }
            Op::Mutate { table, conditions, mutations } => {
                json!({ "op": "mutate", "table": table, "where": conditions, "mutations": mutations })
            }
            Op::Delete { table, conditions } => json!({ "op": "delete", "table": table, "where": conditions }),
            Op::Select { table, conditions, columns } => {
                json!({ "op": "select", "table": table, "where": conditions, "columns": columns })
            }
            Op::Wait { table, conditions, columns, rows } => json!({
                "op": "wait", "table": table, "where": conditions, "columns": columns, "until": "==", "rows": rows,
                "timeout": 0,
            }),
            Op::Comment(comment) => json!({ "op": "comment", "comment": comment }),
        }
    }
}

/// What the server refused: the operation's index, the error and its details. `None`: it accepted all.
pub(super) fn refusal(results: &[Value]) -> Option<(usize, String, Option<String>)> {
    let text = |result: &Map<String, Value>, key| result.get(key).and_then(Value::as_str).map(str::to_owned);
    results.iter().enumerate().find_map(|(index, result)| {
        let result = result.as_object()?;
        Some((index, text(result, "error")?, text(result, "details")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_found_where_they_are() {
        let done = [json!({ "uuid": ["uuid", "u"] }), json!({ "count": 1 }), json!({})];
        assert_eq!(refusal(&done), None);
        let refused = [json!({}), json!({ "error": "timed out", "details": "no such row" }), Value::Null];
        assert_eq!(refusal(&refused), Some((1, "timed out".to_owned(), Some("no such row".to_owned()))));
    }

    #[test]
    fn a_wait_never_blocks_the_server() {
        let wait = Op::Wait { table: "Bridge", conditions: vec![], columns: vec!["name"], rows: vec![] };
        assert_eq!(Value::from(wait)["timeout"], json!(0));
    }
}

//! Ginkgo's JSON report of a run of `e2e.test`: which tests it selected, and how one of them ended.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How many characters of a failure's message are shown.
const SHOWN: usize = 300;

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// As it should.
    Passed,
    /// It decided itself that it has nothing to test here.
    Skipped {
        /// Its words.
        why: String,
    },
    /// Badly, or not at all.
    Failed {
        /// The first line of what it says.
        why: String,
        /// Where in Kubernetes' source.
        at: String,
    },
}

impl Verdict {
    /// A failure that isn't the test's own word.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), at: String::new() }
    }
}

/// The names of the tests that a dry run has selected, in order.
pub fn selected(report: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> =
        specs(report)?.iter().filter(|spec| spec.is_test() && spec.state == "passed").map(Spec::name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// How the test `name` ended, or why it never began.
pub fn verdict(report: &str, name: &str) -> Result<Verdict> {
    let specs = specs(report)?;
    let test = specs.iter().find(|spec| spec.is_test() && spec.name() == name);
    // What fails before or after all tests leaves none of them run, or spoils what they have shown.
    let around = specs.iter().find(|spec| !spec.is_test() && spec.failed());
    Ok(match (test, around) {
        (Some(test), _) if test.failed() => test.failure(""),
        (_, Some(around)) => around.failure(&format!("{}: ", around.kind)),
        (Some(test), None) if test.state == "passed" => Verdict::Passed,
        (Some(Spec { failure: Some(failure), .. }), None) => Verdict::Skipped { why: first_line(&failure.message) },
        _ => Verdict::failed("the test didn't run"),
    })
}

fn specs(report: &str) -> Result<Vec<Spec>> {
    let suites: Vec<Suite> = serde_json::from_str(report).context("reading Ginkgo's report")?;
    Ok(suites.into_iter().flat_map(|suite| suite.specs.unwrap_or_default()).collect())
}

#[derive(Deserialize)]
struct Suite {
    #[serde(rename = "SpecReports")]
    specs: Option<Vec<Spec>>,
}

/// A test, or a step before or after all tests.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_text: String,
    #[serde(rename = "LeafNodeType")]
    kind: String,
    state: String,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
    location: Option<Location>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Location {
    #[serde(default)]
    file_name: String,
    #[serde(default)]
    line_number: u64,
}

impl Spec {
    fn is_test(&self) -> bool {
        self.kind == "It"
    }

    fn name(&self) -> String {
        let mut words = self.container_hierarchy_texts.clone().unwrap_or_default();
        words.push(self.leaf_node_text.clone());
        words.join(" ")
    }

    /// Ginkgo has many words for it: failed, aborted, panicked, interrupted, timedout.
    fn failed(&self) -> bool {
        !matches!(self.state.as_str(), "passed" | "skipped" | "pending" | "")
    }

    fn failure(&self, before: &str) -> Verdict {
        let (message, location) =
            self.failure.as_ref().map_or(("", None), |failure| (&failure.message, failure.location.as_ref()));
        let message = first_line(message);
        let why = match (self.state.as_str(), message.is_empty()) {
            ("failed", false) => message,
            (state, true) => state.to_owned(),
            (state, false) => format!("{state}: {message}"),
        };
        let at = location.map_or_else(String::new, |at| format!("{}:{}", in_kubernetes(&at.file_name), at.line_number));
        Verdict::Failed { why: format!("{before}{why}"), at }
    }
}

/// The first line that says something, not too long.
fn first_line(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// A file of Kubernetes' source, without the name of the module that it was built from.
fn in_kubernetes(file: &str) -> &str {
    file.split_once('@').and_then(|(_, rest)| rest.split_once('/')).map_or(file, |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mk_spec(kind: &str, name: &str, state: &str, message: Option<&str>) -> Value {
        let location = json!({ "FileName": "k8s.io/kubernetes@v1.36.3/test/e2e/network/dns.go", "LineNumber": 7 });
        let failure = message.map(|message| json!({ "Message": message, "Location": location }));
        json!({ "ContainerHierarchyTexts": (kind == "It").then_some(["[sig] DNS"]), "LeafNodeText": name,
            "LeafNodeType": kind, "State": state, "Failure": failure, "SpecEvents": [] })
    }

    fn mk_report(specs: &[Value]) -> String {
        json!([{ "SuitePath": "/", "SpecReports": specs }]).to_string()
    }

    #[test]
    fn a_dry_run_selects_what_it_says_has_passed() {
        let report = mk_report(&[
            mk_spec("ReportBeforeSuite", "", "passed", None),
            mk_spec("It", "two", "passed", None),
            mk_spec("It", "one", "passed", None),
            mk_spec("It", "other", "skipped", None),
        ]);
        assert_eq!(selected(&report).unwrap(), ["[sig] DNS one", "[sig] DNS two"]);
    }

    #[test]
    fn a_failure_is_told_by_its_first_line_and_place() {
        let report = mk_report(&[mk_spec("It", "one", "failed", Some("\n  no answer\nfor a while\n"))]);
        let expected = Verdict::Failed { why: "no answer".to_owned(), at: "test/e2e/network/dns.go:7".to_owned() };
        assert_eq!(verdict(&report, "[sig] DNS one").unwrap(), expected);
    }

    #[test]
    fn a_timeout_is_a_failure() {
        let report = mk_report(&[mk_spec("It", "one", "timedout", Some("A suite timeout occurred"))]);
        let Verdict::Failed { why, .. } = verdict(&report, "[sig] DNS one").unwrap() else { panic!() };
        assert_eq!(why, "timedout: A suite timeout occurred");
    }

    #[test]
    fn a_test_that_could_not_begin_failed() {
        let report = mk_report(&[
            mk_spec("SynchronizedBeforeSuite", "", "failed", Some("no nodes")),
            mk_spec("It", "one", "skipped", None),
        ]);
        let Verdict::Failed { why, .. } = verdict(&report, "[sig] DNS one").unwrap() else { panic!() };
        assert_eq!(why, "SynchronizedBeforeSuite: no nodes");
        let absent = verdict(&mk_report(&[]), "[sig] DNS one").unwrap();
        assert_eq!(absent, Verdict::failed("the test didn't run"));
    }

    #[test]
    fn only_a_test_with_a_reason_was_skipped() {
        let report = mk_report(&[mk_spec("It", "one", "skipped", Some("needs two zones"))]);
        assert_eq!(verdict(&report, "[sig] DNS one").unwrap(), Verdict::Skipped { why: "needs two zones".to_owned() });
        let report = mk_report(&[mk_spec("It", "one", "skipped", None)]);
        assert_eq!(verdict(&report, "[sig] DNS one").unwrap(), Verdict::failed("the test didn't run"));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let line = first_line(&"ä".repeat(SHOWN + 1));
        assert_eq!(line, "ä".repeat(SHOWN) + "…");
    }
}
